// Whether something of which there is one is another Service's already.
import type { Service } from '../../../../api/types.ts'
import type { ValuesOf, WriteContext } from '../../descriptor.ts'

export function hasOther(context: WriteContext, { metadata }: Service, valuesOf: ValuesOf, value: string): boolean {
  return context.holders('services', valuesOf, value).some(({ namespace, name }) => name !== metadata.name || namespace !== metadata.namespace)
}
