/** The key `sysctl`: settings of the pod's network, named as sysctl(8) or by path, as the reference plugin `tuning` takes them. Pure. */
import { invalidConfig, objectField } from '../protocol/config.ts'
import type { JsonObject } from '../protocol/result.ts'

export interface Setting {
  /** Below /proc/sys/net. */
  readonly path: string
  readonly value: string
}

/** `IFNAME` in a name stands for the link's. Settings beyond `net` are not the pod's own, and refused. */
export function parseSettings(fields: JsonObject, ifname: string): Setting[] {
  return Object.entries(objectField(fields, 'sysctl') ?? {}).map(([name, value]) => {
    if (typeof value !== 'string' && typeof value !== 'number') throw invalidConfig(`sysctl ${name} is ${JSON.stringify(value)}, not text or a number`)
    const text = String(value)
    if (/[\0\n]/.test(text)) throw invalidConfig(`sysctl ${name} has more than one line`)
    return { path: pathOf(name, ifname), value: text }
  })
}

function pathOf(name: string, ifname: string): string {
  // where dots separate, a slash stands for a dot within a name
  const dotted = /^[^/.]*\./.test(name)
  const parts = (dotted ? name.replaceAll(/[./]/g, (one) => (one === '.' ? '/' : '.')) : name).split('/')
  const [first, ...rest] = parts
  if (first !== 'net' || rest.length < 2 || !rest.every((part) => /^[\w.@-]+$/.test(part) && part !== '.' && part !== '..')) throw invalidConfig(`sysctl ${JSON.stringify(name)} is no setting of a network namespace, such as net.ipv4.tcp_syncookies`)
  return rest.map((part) => (part === 'IFNAME' ? ifname : part)).join('/')
}
