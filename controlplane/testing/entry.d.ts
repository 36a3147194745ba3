export interface TestApiServerOptions {
  /** 0, the default: whichever is free. */
  readonly port?: number
  /** Errors and warnings of the server go to standard error. Default false. */
  readonly verbose?: boolean
}

export interface TestApiServer {
  readonly url: string
  /** YAML with the certificate of an administrator: for `new KubeConfig().loadFromString(…)`, or for a file that kubectl reads. */
  readonly kubeconfig: string
  /** YAML for somebody who may do only what roles allow. */
  kubeconfigFor(who: { readonly user: string; readonly groups?: readonly string[] }): Promise<string>
  stop(): Promise<void>
  /** `await using server = await startApiServer()` stops it at the end of the block. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Starts an API server on 127.0.0.1. Resolves when it serves. */
export declare function startApiServer(options?: TestApiServerOptions): Promise<TestApiServer>
