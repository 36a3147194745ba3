/**
 * The executable that a container engine starts for every pod, as an x86-64 Linux program of about a kilobyte: it hands environment and standard
 * input to the resident part and its answer to standard output (`frame.ts` has the format). Where nobody listens it becomes the slow path, with
 * standard input untouched. Starting Node takes 40 ms, this one less than a millisecond.
 *
 * System call numbers: arch/x86/entry/syscalls/syscall_64.tbl.
 */
import { isAbsolute } from 'node:path'
import { Assembler } from './assembler.ts'
import { headerBytes, requestHeader } from './frame.ts'
import { errorCodes } from '../protocol/error.ts'

const sys = { read: 0, write: 1, poll: 7, socket: 41, connect: 42, sendto: 44, shutdown: 48, execve: 59, exit: 60 }
const bufferBytes = 65_536
const POLLIN = 1
const EINTR = 4
const EAGAIN = 11

export interface ShimOptions {
  readonly name: string
  readonly socketPath: string
  /** What to become without a resident part: program and arguments. */
  readonly slowPath: readonly string[]
}

const failures = {
  broken: { code: errorCodes.tryAgainLater, msg: 'Cannot finish: the resident part of the plugin ended before it answered; try again' },
  unable: { code: errorCodes.internal, msg: 'Cannot start: no resident part of the plugin listens, and Node for the slow path could not be run' },
} as const

export function shimProgram({ name, socketPath, slowPath }: ShimOptions): Uint8Array {
  const address = unixAddress(socketPath)
  const program = new Assembler()
  environmentBlock(program)
  connect(program, address.length)
  exchange(program)
  becomeSlowPath(program, slowPath.length)
  ending(program)
  program.data('input', Buffer.from([0, 0, 0, 0, POLLIN, 0, 0, 0])) // struct pollfd, standard input
  program.data('header', requestHeader(name)).data('socketAddress', address)
  for (const [index, text] of slowPath.entries()) program.data(`argument${index}`, Buffer.from(`${text}\0`))
  for (const failure of Object.keys(failures) as (keyof typeof failures)[]) program.data(`${failure}Text`, failureText(failure))
  return program.zeroed('arguments', 8 * (slowPath.length + 1)).zeroed('buffer', bufferBytes).executable()
}

/** An absolute path's `struct sockaddr_un`. */
export function unixAddress(path: string): Buffer {
  if (!isAbsolute(path)) throw new Error(`Cannot use socket ${JSON.stringify(path)}: it is not an absolute path`)
  const bytes = Buffer.from(path)
  if (bytes.length > 107 || bytes.includes(0)) throw new Error(`Cannot use socket ${path}: its path is longer than 107 bytes`)
  return Buffer.concat([Buffer.from([1, 0]), bytes, Buffer.alloc(1)]) // struct sockaddr_un, AF_UNIX
}

function failureText(failure: keyof typeof failures): Buffer {
  return Buffer.from(`${JSON.stringify({ cniVersion: '1.1.0', ...failures[failure] })}\n`)
}

/**
 * At the start the stack holds argc, the pointers of argv, zero, those of the environment, zero; the kernel lays the strings themselves one behind
 * the other. Leaves rbx: the environment's pointers; r12, r13: begin and end of its strings.
 */
function environmentBlock(program: Assembler): void {
  program
    .label('start').mov('rbp', 'rsp').load('rbx', 'rbp', 0).shl('rbx', 3).add('rbx', 'rbp').add('rbx', 16)
    .load('r12', 'rbx', 0).mov('r13', 'r12').test('r12').jumpIf('equal', 'connect')
    .mov('r14', 'rbx')
    .label('nextPointer').load('rax', 'r14', 0).test('rax').jumpIf('equal', 'lastString').mov('r13', 'rax').add('r14', 8).jmp('nextPointer')
    .label('lastString').loadByte('rcx', 'r13').add('r13', 1).test('rcx').jumpIf('notEqual', 'lastString')
}

/** Leaves r15: the socket. */
function connect(program: Assembler, addressBytes: number): void {
  const AF_UNIX = 1
  const SOCK_STREAM_CLOEXEC = 1 | 0o2000000
  program
    .label('connect').mov('rdi', AF_UNIX).mov('rsi', SOCK_STREAM_CLOEXEC).mov('rdx', 0).syscall(sys.socket).test('rax').jumpIf('negative', 'slowPath')
    // where the caller closed standard input, output or error it takes their place: another, until they are taken
    .cmp('rax', 3).jumpIf('negative', 'connect').mov('r15', 'rax')
    .mov('rdi', 'r15').mov('rsi', { address: 'socketAddress' }).mov('rdx', addressBytes).syscall(sys.connect).test('rax').jumpIf('negative', 'slowPath')
}

function exchange(program: Assembler): void {
  const SHUT_WR = 1
  program
    .mov('rax', 'r13').sub('rax', 'r12').mov('rsi', { address: 'header' }).storeDword('rsi', headerBytes - 4, 'rax')
    .mov('rdx', headerBytes).call('send')
    .mov('rsi', 'r12').mov('rdx', 'r13').sub('rdx', 'r12').call('send')
    // input that cannot be read is none, and the plugin says so
    .label('nextInput').mov('rdi', 0).call('read').cmp('rax', -EAGAIN).jumpIf('equal', 'waitForInput').cmp('rax', 1).jumpIf('negative', 'endOfInput')
    .mov('rdx', 'rax').mov('rsi', { address: 'buffer' }).call('send').jmp('nextInput')
    // it does not block where the caller's end of it is the same and does not
    .label('waitForInput').mov('rdi', { address: 'input' }).mov('rsi', 1).mov('rdx', -1).syscall(sys.poll).jmp('nextInput')
    .label('endOfInput').mov('rdi', 'r15').mov('rsi', SHUT_WR).syscall(sys.shutdown)
    // the answer's first byte is the exit status
    .mov('rdi', 'r15').call('read').cmp('rax', 1).jumpIf('negative', 'broken')
    .mov('rsi', { address: 'buffer' }).loadByte('r14', 'rsi').add('rsi', 1).mov('rdx', 'rax').sub('rdx', 1).call('print')
    .label('nextOutput').mov('rdi', 'r15').call('read').cmp('rax', 1).jumpIf('negative', 'answered')
    .mov('rsi', { address: 'buffer' }).mov('rdx', 'rax').call('print').jmp('nextOutput')
    .label('answered').mov('rdi', 'r14').syscall(sys.exit)
}

function becomeSlowPath(program: Assembler, count: number): void {
  program.label('slowPath').mov('rsi', { address: 'arguments' })
  for (let index = 0; index < count; index++) program.mov('rax', { address: `argument${index}` }).store('rsi', 8 * index, 'rax')
  program.mov('rdi', { address: 'argument0' }).mov('rdx', 'rbx').syscall(sys.execve).jmp('unable')
}

/** `send` and `print` take rsi and rdx until all is gone; `read` fills the buffer from rdi. System calls clobber rcx and r11 only. */
function ending(program: Assembler): void {
  const MSG_NOSIGNAL = 0x4000
  program
    .label('send').test('rdx').jumpIf('equal', 'sent')
    .mov('rdi', 'r15').mov('r10', MSG_NOSIGNAL).mov('r8', 0).mov('r9', 0).syscall(sys.sendto)
    .cmp('rax', -EINTR).jumpIf('equal', 'send').test('rax').jumpIf('negative', 'broken')
    .add('rsi', 'rax').sub('rdx', 'rax').jmp('send')
    .label('sent').ret()
    .label('print').test('rdx').jumpIf('equal', 'printed')
    .mov('rdi', 1).syscall(sys.write).cmp('rax', -EINTR).jumpIf('equal', 'print').test('rax').jumpIf('negative', 'deaf')
    .add('rsi', 'rax').sub('rdx', 'rax').jmp('print')
    .label('printed').ret()
    .label('read').mov('rsi', { address: 'buffer' }).mov('rdx', bufferBytes).syscall(sys.read).cmp('rax', -EINTR).jumpIf('equal', 'read').ret()
  for (const failure of ['broken', 'unable'] as const) {
    program.label(failure).mov('rsi', { address: `${failure}Text` }).mov('rdx', failureText(failure).length).call('print')
      .label(`${failure}Exit`).mov('rdi', 1).syscall(sys.exit)
  }
  // nobody reads what we say
  program.label('deaf').mov('rdi', 1).syscall(sys.exit)
}
