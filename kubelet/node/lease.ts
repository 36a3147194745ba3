/** The node's lease: renewed every quarter of its duration, so that its end is noticed. */
import { isConflict, isNotFound, isAlreadyExists } from '../../api/client.ts'
import { leases } from '../../api/resources.ts'
import type { Lease } from '../../api/types.ts'
import type { KubeletOptions } from '../options.ts'

const namespace = 'kube-node-lease'
const retryMs = 1000

export class LeaseKeeper {
  readonly #options: KubeletOptions
  readonly #durationSeconds: number
  readonly #abort = new AbortController()
  #lease: Lease | undefined
  #ended: Promise<void> = Promise.resolve()

  constructor(options: KubeletOptions) {
    this.#options = options
    this.#durationSeconds = options.leaseDurationSeconds ?? 40
  }

  start(): void {
    this.#ended = this.#run()
  }

  async stop(): Promise<void> {
    this.#abort.abort(new Error('the kubelet was stopped'))
    await this.#ended
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#options
    const { signal } = this.#abort
    const periodMs = (this.#durationSeconds * 1000) / 4
    let failures = 0
    while (!signal.aborted) {
      try {
        await this.#renew()
        failures = 0
      } catch (error) {
        failures += 1
        if (!signal.aborted && (failures === 1 || failures % 60 === 0)) log.warn('cannot renew the lease of the node, trying again', { failures, error })
      }
      // Ends with the kubelet.
      await clock.sleep(failures === 0 ? periodMs : Math.min(periodMs, retryMs), signal).catch((error: unknown) => error)
    }
  }

  async #renew(): Promise<void> {
    const { client, nodeName, clock } = this.#options
    const { signal } = this.#abort
    const renewTime = new Date(clock.now()).toISOString().replace('Z', '000Z')
    const spec = { holderIdentity: nodeName, leaseDurationSeconds: this.#durationSeconds, renewTime }
    try {
      this.#lease ??= await client.get(leases, { namespace, name: nodeName }, { signal })
      this.#lease = await client.update(leases, { ...this.#lease, spec: { ...this.#lease.spec, ...spec } }, { signal })
    } catch (error) {
      this.#lease = undefined
      if (isNotFound(error)) await this.#create(spec)
      else if (!isConflict(error)) throw error
      else throw new Error('Cannot renew the lease: somebody else wrote it', { cause: error })
    }
  }

  async #create(spec: NonNullable<Lease['spec']>): Promise<void> {
    const { client, nodeName } = this.#options
    try {
      this.#lease = await client.create(leases, { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata: { namespace, name: nodeName }, spec })
    } catch (error) {
      if (!isAlreadyExists(error)) throw error
    }
  }
}
