/** How a request reaches an API server: over HTTPS, or within one process. The client does not know which. */

export interface ApiRequest {
  readonly method: string
  /** Path with its query, such as `/api/v1/pods?limit=5`. */
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  readonly signal?: AbortSignal
}

export interface ApiResponse {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The body as it arrives; a watch never ends by itself. Leaving the loop early closes the request. */
  readonly body: AsyncIterable<Uint8Array>
}

/** Sends one request. Rejects when no response came at all; any HTTP status is a response. */
export type Transport = (request: ApiRequest) => Promise<ApiResponse>
