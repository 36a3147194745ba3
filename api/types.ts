/** The objects of the Kubernetes API that Fairway's parts read and write. */
export type * from './types/meta.ts'
export type * from './types/core.ts'
export type * from './types/apps.ts'
export type * from './types/cluster.ts'
export type * from './types/event.ts'
export type * from './types/quota.ts'
export type * from './types/network.ts'
