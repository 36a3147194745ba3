/** Structured logs: one line per message in logfmt, `time=… level=info msg="pod started" pod=default/web`. */
import { systemClock } from './clock.ts'
import type { Clock } from './clock.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'
export type LogFields = Readonly<Record<string, unknown>>

export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  /** A logger that adds these fields to every line. */
  with(fields: LogFields): Logger
}

const order: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

export interface LoggerOptions {
  readonly write?: (line: string) => void
  readonly level?: LogLevel
  readonly clock?: Clock
  readonly fields?: LogFields
}

/** A logger to standard error, or to what is handed in; messages below `level` (default info) are dropped. */
export function createLogger(options: LoggerOptions = {}): Logger {
  const { clock = systemClock, level = 'info', fields: always = {} } = options
  const write = options.write ?? ((line: string) => void process.stderr.write(line))
  const at = (messageLevel: LogLevel) => (message: string, fields: LogFields = {}): void => {
    if (order.indexOf(messageLevel) < order.indexOf(level)) return
    const all = { time: new Date(clock.now()).toISOString(), level: messageLevel, msg: message, ...always, ...fields }
    write(`${Object.entries(all).flatMap(([key, value]) => (value === undefined ? [] : `${key}=${formatted(value)}`)).join(' ')}\n`)
  }
  return {
    debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error'),
    with: (fields) => createLogger({ ...options, fields: { ...always, ...fields } }),
  }
}

/** Drops everything. */
export const silentLogger: Logger = createLogger({ write: () => undefined })

function formatted(value: unknown): string {
  const text = value instanceof Error ? value.message : typeof value === 'object' ? JSON.stringify(value) : String(value)
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text)
}
