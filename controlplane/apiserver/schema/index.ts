// What the fields of every built-in kind are called and which types they have: to refuse what does not fit, to drop what
// is unknown, and to describe the API to clients (OpenAPI).
export { checkFields, strictMessage } from './check.ts'
export { encodeOpenApiV2 } from './openapi-protobuf.ts'
export { openApiV2, openApiV3 } from './openapi.ts'
