/** Records of the types that this server makes itself. Names are absolute, TTLs in seconds. */
import { CLASS, TYPE } from './constants.ts'
import type { Fields } from './layouts.ts'
import type { ResourceRecord } from './message.ts'

/** A or AAAA, by the length of the address. */
export function addressRecord(name: string, ttl: number, address: Uint8Array): ResourceRecord {
  return record(name, address.length === 4 ? TYPE.A : TYPE.AAAA, ttl, [address])
}

export function cnameRecord(name: string, ttl: number, target: string): ResourceRecord {
  return record(name, TYPE.CNAME, ttl, [target])
}

export function nsRecord(name: string, ttl: number, server: string): ResourceRecord {
  return record(name, TYPE.NS, ttl, [server])
}

export function ptrRecord(name: string, ttl: number, target: string): ResourceRecord {
  return record(name, TYPE.PTR, ttl, [target])
}

export function txtRecord(name: string, ttl: number, text: string): ResourceRecord {
  return record(name, TYPE.TXT, ttl, [[Buffer.from(text)]])
}

export function hinfoRecord(name: string, ttl: number, cpu: string): ResourceRecord {
  return record(name, TYPE.HINFO, ttl, [Buffer.from(cpu), Buffer.alloc(0)])
}

export interface SrvData {
  readonly priority: number
  readonly weight: number
  readonly port: number
  readonly target: string
}

export function srvRecord(name: string, ttl: number, { priority, weight, port, target }: SrvData): ResourceRecord {
  return record(name, TYPE.SRV, ttl, [priority, weight, port, target])
}

export interface SoaData {
  readonly server: string
  readonly contact: string
  readonly serial: number
  readonly minimumSeconds: number
}

/** Refresh, retry and expire matter to secondaries only; they are CoreDNS's. */
export function soaRecord(name: string, ttl: number, { server, contact, serial, minimumSeconds }: SoaData): ResourceRecord {
  return record(name, TYPE.SOA, ttl, [server, contact, serial, 7200, 1800, 86_400, minimumSeconds])
}

function record(name: string, type: number, ttl: number, data: Fields): ResourceRecord {
  return { name, type, class: CLASS.IN, ttl, data }
}
