// Sets of fields in the form in which they are kept (`fieldsV1`, sigs.k8s.io/structured-merge-diff's fieldpath): a tree whose
// edges are path elements. `f:name` is a field, `k:{"name":"a"}` an item by its keys, `v:"x"` an item by its value. A leaf is in
// the set; a node with something below it is in the set when it has a `.`. Pure.

export interface Fields {
  [element: string]: Fields
}

/** A member with nothing below it. */
export const leaf: Fields = Object.freeze({})

const element = /^(?:\.|[fkvi]:)/

function below(node: Fields, key: string): Fields | undefined {
  return Object.hasOwn(node, key) ? node[key] : undefined
}

function isMember(node: Fields | undefined): boolean {
  if (node === undefined) return false
  return isEmpty(node) || Object.hasOwn(node, '.')
}

export function isEmpty(fields: Fields): boolean {
  for (const _key in fields) return false
  return true
}

/** A node of what is kept: with its `.` if it is a member, undefined if nothing is left of it. The root is never a member. */
function nodeOf(children: Fields, member: boolean, isRoot: boolean): Fields | undefined {
  if (isRoot) return children
  if (isEmpty(children)) return member ? {} : undefined
  return member ? { '.': {}, ...children } : children
}

export function union(a: Fields, b: Fields, isRoot = true): Fields {
  const children: Fields = {}
  for (const key in a) if (key !== '.') children[key] = a[key] as Fields
  for (const key in b) {
    if (key === '.') continue
    const present = below(children, key)
    children[key] = present === undefined ? (b[key] as Fields) : union(present, b[key] as Fields, false)
  }
  return nodeOf(children, isMember(a) || isMember(b), isRoot) ?? {}
}

/** What is in `a` and not in `b`. */
export function difference(a: Fields, b: Fields): Fields {
  return differenceAt(a, b, true) ?? {}
}

function differenceAt(a: Fields, b: Fields, isRoot: boolean): Fields | undefined {
  const children: Fields = {}
  for (const key in a) {
    if (key === '.') continue
    const other = below(b, key)
    const rest = other === undefined ? a[key] : differenceAt(a[key] as Fields, other, false)
    if (rest !== undefined) children[key] = rest
  }
  return nodeOf(children, isMember(a) && !isMember(b), isRoot)
}

export function intersection(a: Fields, b: Fields): Fields {
  return intersectionAt(a, b, true) ?? {}
}

function intersectionAt(a: Fields, b: Fields, isRoot: boolean): Fields | undefined {
  const children: Fields = {}
  for (const key in a) {
    const other = key === '.' ? undefined : below(b, key)
    const shared = other === undefined ? undefined : intersectionAt(a[key] as Fields, other, false)
    if (shared !== undefined) children[key] = shared
  }
  return nodeOf(children, isMember(a) && isMember(b), isRoot)
}

/** The set with every field that leads to a member: a structure goes when nothing of it has an owner. Items of lists are in it in their own right only. */
export function withParents(fields: Fields): Fields {
  return withParentsAt(fields, '')
}

function withParentsAt(fields: Fields, key: string): Fields {
  const children: Fields = {}
  for (const one in fields) if (one !== '.') children[one] = withParentsAt(fields[one] as Fields, one)
  return nodeOf(children, key.startsWith('f:') || (key !== '' && isMember(fields)), key === '') ?? {}
}

/** Whether a value is such a set. */
export function isFields(value: unknown): value is Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.entries(value).every(([key, node]) => element.test(key) && isFields(node))
}

/** Every path of a set as it is written for people: `.spec.containers[name="a"].image`. */
export function pathsOf(fields: Fields, prefix = ''): string[] {
  const paths: string[] = []
  for (const key in fields) {
    if (key === '.') continue
    const path = prefix + written(key)
    const node = fields[key] as Fields
    if (isMember(node)) paths.push(path)
    paths.push(...pathsOf(node, path))
  }
  return paths
}

function written(key: string): string {
  const rest = key.slice(2)
  switch (key.charAt(0)) {
    case 'f':
      return `.${rest}`
    case 'k':
      return `[${Object.entries(JSON.parse(rest) as Record<string, unknown>).map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(',')}]`
    case 'v':
      return `[=${rest}]`
    default:
      return `[${rest}]`
  }
}
