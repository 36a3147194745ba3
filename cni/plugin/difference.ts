/** CHECK: how an attachment differs from what ADD said it had made, and from what the configuration says it should be. */
import { canonicalAddress, parsePrefix } from '../../netlink/addresses.ts'
import { openNftables } from '../../netlink/nftables/index.ts'
import type { Link, RouteSocket, TokenBucket } from '../../netlink/route/index.ts'
import { readSysctl } from '../../netlink/sysctl.ts'
import type { PluginConfig } from '../protocol/config.ts'
import type { Invocation } from '../protocol/environment.ts'
import type { Places } from './have.ts'
import type { AttachmentRecord } from './record.ts'
import { missingTranslation } from './translate.ts'
import { isAskedAtLoopback } from './plan.ts'
import { isTranslated, ownerComment } from './translation.ts'
import { gateways, hostLinkName } from './want.ts'
import type { Request } from './want.ts'

export interface Checked {
  readonly config: PluginConfig
  readonly invocation: Invocation
  readonly request: Request
  readonly record: AttachmentRecord | undefined
}

export function findProblems(places: Places, subject: Checked): string[] {
  const { host, pod } = places
  const { invocation, config: { prevResult: previous } } = subject
  const hostName = hostLinkName(invocation)
  const [hostLink, podLink] = [host.links.get(hostName), pod.links.get(invocation.ifname)]
  if (podLink === undefined) return [`link ${invocation.ifname} is gone`]
  if (hostLink === undefined) return [`link ${hostName} of the host is gone`]
  const at = previous?.interfaces.findIndex(({ name, sandbox }) => name === invocation.ifname && sandbox !== undefined && sandbox !== '') ?? -1
  const mac = previous?.interfaces[at]?.mac
  const expected = (previous?.ips ?? []).filter((ip) => ip.interface === at && at >= 0).map(({ address }) => parsePrefix(address))
  const addresses = new Set(pod.addresses.list({ link: podLink.index }).map(({ address }) => address))
  const hostRoutes = new Set(host.routes.list({ link: hostLink.index }).map(({ destination }) => destination))
  const podRoutes = new Set(pod.routes.list({ link: podLink.index }).map(({ destination }) => destination))
  // Plugins before us may have routes of their own in the result, on other links.
  const routes = (previous?.routes ?? []).filter(({ gw }) => gw === gateways.ipv4 || gw === gateways.ipv6)
  return [
    ...(at < 0 ? [`prevResult has no interface ${invocation.ifname} in the container`] : []),
    ...(podLink.up ? [] : [`link ${invocation.ifname} is down`]),
    ...(hostLink.up ? [] : [`link ${hostName} of the host is down`]),
    ...(mac !== undefined && mac.toLowerCase() !== podLink.mac ? [`link ${invocation.ifname} has address ${podLink.mac ?? 'none'}, not ${mac}`] : []),
    ...expected.filter(({ address }) => !addresses.has(address)).map(({ address }) => `address ${address} is gone`),
    ...expected.filter(({ address, prefixLength }) => !hostRoutes.has(`${address}/${prefixLength}`)).map(({ address }) => `the host's route to ${address} is gone`),
    ...(subject.record !== undefined && isAskedAtLoopback(subject.record) && !hostRoutes.has('::1/128') ? ["the host's way back to ::1 is gone"] : []),
    ...routes.filter(({ dst }) => !podRoutes.has(canonicalPrefix(dst))).map(({ dst }) => `route to ${dst} is gone`),
    ...findRateProblems(places, subject, hostLink, podLink),
    ...findSettingProblems(places, subject),
    ...findTranslationProblems(subject),
  ]
}

function findRateProblems({ host, pod }: Places, { request: { bandwidth } }: Checked, hostLink: Link, podLink: Link): string[] {
  const isLimited = (route: RouteSocket, link: Link, want: TokenBucket | undefined): boolean =>
    want === undefined || route.qdiscs.list({ link: link.index }).some(({ bucket }) => bucket?.bytesPerSecond === want.bytesPerSecond)
  return [
    ...(isLimited(host, hostLink, bandwidth.toPod) ? [] : ['the rate that it receives at is not limited']),
    ...(isLimited(pod, podLink, bandwidth.fromPod) ? [] : ['the rate that it sends at is not limited']),
  ]
}

function findSettingProblems({ podNetns }: Places, { request: { settings } }: Checked): string[] {
  return settings.filter(({ path, value }) => readSysctl(path, { netns: podNetns }).replaceAll(/\s+/g, ' ') !== value.trim().replaceAll(/\s+/g, ' ')).map(({ path, value }) => `setting ${path} is not ${value}`)
}

function findTranslationProblems({ config, invocation, request, record }: Checked): string[] {
  if (record === undefined) return isTranslated(request) ? ['the record of its ports is gone'] : []
  if (!isTranslated(record.translation)) return []
  using nftables = openNftables()
  return missingTranslation(nftables, record.translation, ownerComment(hostLinkName(invocation), config.name)).map((element) => `${element} is gone`)
}

function canonicalPrefix(text: string): string {
  const [address = '', length] = text.split('/')
  return `${canonicalAddress(address)}/${length}`
}
