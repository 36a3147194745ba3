/** Why a container cannot be started now. */
export interface Hold {
  /** As the container's waiting state says it: `ErrImagePull`, `CreateContainerConfigError`, … */
  readonly reason: string
  readonly message: string
  /** When to try again; absent: something will tell. */
  readonly retryInMs?: number
}

export function isHold(value: object): value is Hold {
  return 'reason' in value
}
