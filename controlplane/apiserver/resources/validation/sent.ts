/** An object as a client sent it: what is there has the right type, for the schema has seen to that, but anything may be missing. */
export type Sent<T> = T extends readonly (infer Item)[]
  ? Sent<Item>[]
  : T extends object
    ? string extends keyof T
      ? T
      : { [Field in keyof T]?: Sent<Exclude<T[Field], undefined>> | undefined }
    : T
