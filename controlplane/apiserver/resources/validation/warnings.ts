// What is taken, and yet told (pkg/api/pod/warnings.go, pkg/api/service/warnings.go): kubectl shows it as `Warning: …`.
import { parseQuantity } from '../../../../api/quantity.ts'
import type { Container, Pod, PodSpec, PodTemplateSpec, Service } from '../../../../api/types.ts'

export function podWarnings({ metadata, spec }: Pod): string[] {
  const { name = '' } = metadata
  const hostname = name.includes('.') && (spec.hostname ?? '') === '' ? [`metadata.name: this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended: [must not contain dots]`] : []
  return [...hostname, ...specWarnings(spec, 'spec')]
}

export function templateWarnings({ spec }: { readonly spec: { readonly template?: PodTemplateSpec } }): string[] {
  return spec.template === undefined ? [] : specWarnings(spec.template.spec, 'spec.template.spec')
}

function specWarnings(spec: PodSpec, path: string): string[] {
  return (['initContainers', 'containers'] as const).flatMap((kind) => (spec[kind] ?? []).flatMap((container, i) => containerWarnings(container, `${path}.${kind}[${i}]`)))
}

function containerWarnings({ env = [], ports = [], resources }: Container, at: string): string[] {
  const warnings: string[] = []
  const named = new Set<string>()
  env.forEach(({ name, value = '' }, i) => {
    // A value that builds on the hidden one is meant.
    if (named.has(name) && !value.includes(`$(${name})`)) warnings.push(`${at}.env[${i}]: hides previous definition of ${JSON.stringify(name)}, which may be dropped when using apply`)
    named.add(name)
  })
  const places = new Map<string, number>()
  ports.forEach(({ containerPort, protocol, hostPort, hostIP }, i) => {
    const port = JSON.stringify([containerPort, protocol, hostPort, hostIP])
    const first = places.get(port)
    if (first === undefined) places.set(port, i)
    else warnings.push(`${at}.ports[${i}]: duplicate port definition with ${at}.ports[${first}]`)
  })
  for (const field of ['limits', 'requests'] as const) {
    for (const name of ['memory', 'ephemeral-storage']) {
      const quantity = resources?.[field]?.[name]
      if (quantity !== undefined && !Number.isInteger(parseQuantity(quantity))) warnings.push(`${at}.resources.${field}[${name}]: fractional byte value ${JSON.stringify(String(quantity))} is invalid, must be an integer`)
    }
  }
  return warnings
}

export function serviceWarnings({ spec }: Service): string[] {
  const isHeadless = spec.clusterIPs?.[0] === 'None'
  return isHeadless && spec.sessionAffinity === 'ClientIP' ? ['spec.SessionAffinity is ignored for headless services'] : []
}
