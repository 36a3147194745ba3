// Field errors as they are put together (apimachinery pkg/util/validation/field).
import type { FieldError } from '../../descriptor.ts'

/** Collects what is wrong with an object. */
export class FieldErrors {
  readonly list: FieldError[] = []

  required(field: string, detail = ''): void {
    this.list.push({ field, type: 'FieldValueRequired', detail })
  }

  invalid(field: string, value: unknown, detail: string): void {
    this.list.push({ field, type: 'FieldValueInvalid', detail, value })
  }

  unsupported(field: string, value: unknown, supported: readonly string[]): void {
    const detail = `supported values: ${supported.toSorted().map((one) => JSON.stringify(one)).join(', ')}`
    this.list.push({ field, type: 'FieldValueNotSupported', detail, value })
  }

  forbidden(field: string, detail: string): void {
    this.list.push({ field, type: 'FieldValueForbidden', detail })
  }

  duplicate(field: string, value: unknown): void {
    this.list.push({ field, type: 'FieldValueDuplicate', detail: '', value })
  }

  notFound(field: string, value: unknown): void {
    this.list.push({ field, type: 'FieldValueNotFound', detail: '', value })
  }

  tooLong(field: string, bytesMax: number): void {
    this.list.push({ field, type: 'FieldValueTooLong', detail: `may not be more than ${bytesMax} bytes` })
  }

  tooMany(field: string, count: number, max: number): void {
    this.list.push({ field, type: 'FieldValueTooMany', detail: `must have at most ${max} items`, value: count })
  }

  /** One error for each thing that is wrong with a value. */
  each(field: string, value: unknown, details: readonly string[]): void {
    for (const detail of details) this.invalid(field, value, detail)
  }

  /** Required, and one of a few words. */
  oneOf(field: string, value: string | undefined, supported: readonly string[]): void {
    if (value === undefined || value === '') this.required(field)
    else if (!supported.includes(value)) this.unsupported(field, value, supported)
  }

  nonNegative(field: string, value: number | undefined): void {
    if (value !== undefined && value < 0) this.invalid(field, value, 'must be greater than or equal to 0')
  }

  immutable(field: string, value: unknown): void {
    this.invalid(field, value, 'field is immutable')
  }
}
