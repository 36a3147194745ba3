/** The machine's name servers, as far as hosts can reach them: those on its own loopback they cannot. */
import { existsSync, readFileSync } from 'node:fs'

export function hostNameservers(): string[] {
  const text = existsSync('/etc/resolv.conf') ? readFileSync('/etc/resolv.conf', 'utf8') : ''
  return [...text.matchAll(/^\s*nameserver\s+(\S+)/gm)].map((match) => match[1] ?? '').filter((address) => !/^127\.|^::1$/.test(address))
}
