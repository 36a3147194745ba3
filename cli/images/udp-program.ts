/**
 * The program `udp` of the built-in image, for Debian's busybox speaks no UDP:
 *
 *   udp PORT           answers every datagram with itself
 *   udp ADDRESS PORT   sends its standard input as one datagram and prints the answer; exits 1 when none came in two seconds
 *
 * Addresses are IPv4 in dotted decimals or IPv6 in lower case; one socket of IPv6 does for both, as IPv4 addresses are ::ffff:a.b.c.d to it. System call numbers: arch/x86/entry/syscalls/syscall_64.tbl.
 */
import { Assembler } from '../../cni/executable/assembler.ts'

const sys = { read: 0, write: 1, socket: 41, connect: 42, sendto: 44, recvfrom: 45, bind: 49, setsockopt: 54, exit: 60 }
const bufferBytes = 65_536
const datagramBytesMax = 65_507
/** struct sockaddr_in6 */
const addressBytes = 28

/** The program as an ELF executable for x86-64 Linux. */
export function udpProgram(): Uint8Array {
  const program = new Assembler()
  main(program)
  serve(program)
  send(program)
  parsing(program)
  ending(program)
  return program
    .data('address', new Uint8Array([10, 0, ...Array<number>(26).fill(0)])) // struct sockaddr_in6, AF_INET6: port at 2, address at 8
    .data('timeout', new Uint8Array([2, ...Array<number>(15).fill(0)])) // struct timeval, two seconds
    .data('usage', new TextEncoder().encode('usage: udp PORT | udp ADDRESS PORT\n'))
    .data('peerBytes', new Uint8Array([addressBytes, 0, 0, 0]))
    .zeroed('peer', addressBytes)
    .zeroed('buffer', bufferBytes)
    .executable()
}

/** At the start the stack holds argc, then the pointers of argv. */
function main(program: Assembler): void {
  program
    .label('start').mov('rbp', 'rsp').load('rbx', 'rbp', 0)
    .mov('r13', { address: 'address' })
    .cmp('rbx', 2).jumpIf('equal', 'serve')
    .cmp('rbx', 3).jumpIf('equal', 'send')
    .mov('rdi', 2).mov('rsi', { address: 'usage' }).mov('rdx', 35).syscall(sys.write)
    .mov('rdi', 2).syscall(sys.exit)
}

function serve(program: Assembler): void {
  program
    .label('serve').load('rsi', 'rbp', 16).call('port').call('open')
    .mov('rdi', 'r12').mov('rsi', 'r13').mov('rdx', addressBytes).syscall(sys.bind).test('rax').jumpIf('negative', 'fail')
    .label('next')
    .mov('rdi', 'r12').mov('rsi', { address: 'buffer' }).mov('rdx', bufferBytes).mov('r10', 0)
    .mov('r8', { address: 'peer' }).mov('r9', { address: 'peerBytes' }).syscall(sys.recvfrom)
    .test('rax').jumpIf('negative', 'next') // an ICMP error of an earlier answer
    .mov('rdx', 'rax').mov('rdi', 'r12').mov('rsi', { address: 'buffer' }).mov('r10', 0)
    .mov('r8', { address: 'peer' }).mov('r9', addressBytes).syscall(sys.sendto)
    .jmp('next')
}

function send(program: Assembler): void {
  const SOL_SOCKET = 1
  const SO_RCVTIMEO = 20
  program
    .label('send').load('rsi', 'rbp', 16).call('parse').load('rsi', 'rbp', 24).call('port').call('open')
    .mov('rdi', 'r12').mov('rsi', SOL_SOCKET).mov('rdx', SO_RCVTIMEO).mov('r10', { address: 'timeout' }).mov('r8', 16).syscall(sys.setsockopt)
    .mov('rdi', 'r12').mov('rsi', 'r13').mov('rdx', addressBytes).syscall(sys.connect).test('rax').jumpIf('negative', 'fail')
    .mov('rdi', 0).mov('rsi', { address: 'buffer' }).mov('rdx', datagramBytesMax).syscall(sys.read).test('rax').jumpIf('negative', 'fail')
    .mov('rdx', 'rax').mov('rdi', 'r12').mov('rsi', { address: 'buffer' }).syscall(sys.write).test('rax').jumpIf('negative', 'fail')
    .mov('rdi', 'r12').mov('rsi', { address: 'buffer' }).mov('rdx', bufferBytes).syscall(sys.read).test('rax').jumpIf('negative', 'fail')
    .mov('rdx', 'rax').mov('rdi', 1).mov('rsi', { address: 'buffer' }).syscall(sys.write)
    .mov('rdi', 0).syscall(sys.exit)
}

/** `number` reads decimal digits at rsi into rax and leaves rsi at what follows; clobbers rcx. */
function parsing(program: Assembler): void {
  program
    .label('number').mov('rax', 0)
    .label('digit').loadByte('rcx', 'rsi').cmp('rcx', 48).jumpIf('below', 'numberEnd').cmp('rcx', 57).jumpIf('above', 'numberEnd')
    .sub('rcx', 48).imul('rax', 10).add('rax', 'rcx').add('rsi', 1).jmp('digit')
    .label('numberEnd').ret()
    .label('port').call('number').swapWordInRax().storeWord('r13', 2, 'rax').ret()
    .label('parse').mov('rdx', 'rsi')
    .label('look').loadByte('rcx', 'rdx').cmp('rcx', colon).jumpIf('equal', 'groups').cmp('rcx', 0).jumpIf('equal', 'octets').add('rdx', 1).jmp('look')
    .label('octets').mov('r14', 0).mov('r15', 4)
    .label('octet').call('number').shl('r14', 8).or('r14', 'rax').add('rsi', 1).sub('r15', 1).jumpIf('notEqual', 'octet')
    .swapDword('r14').storeDword('r13', 20, 'r14').mov('rax', 0xffff).storeWord('r13', 18, 'rax').ret()
  groups(program)
}

const colon = 58

/** IPv6: groups are written one after the other from rdi on; those behind `::`, which is r8, go to the end afterwards. */
function groups(program: Assembler): void {
  program
    .label('groups').mov('rdi', 'r13').add('rdi', 8).mov('r8', 0)
    .label('group').mov('rax', 0).mov('r9', 0)
    .label('hex').loadByte('rcx', 'rsi')
    .cmp('rcx', 48).jumpIf('below', 'groupEnd').cmp('rcx', 57).jumpIf('above', 'letter').sub('rcx', 48).jmp('hexDigit')
    .label('letter').cmp('rcx', 97).jumpIf('below', 'groupEnd').cmp('rcx', 102).jumpIf('above', 'groupEnd').sub('rcx', 87)
    .label('hexDigit').shl('rax', 4).or('rax', 'rcx').add('rsi', 1).add('r9', 1).jmp('hex')
    .label('groupEnd').test('r9').jumpIf('equal', 'separator').swapWordInRax().storeWord('rdi', 0, 'rax').add('rdi', 2)
    .label('separator').cmp('rcx', colon).jumpIf('notEqual', 'groupsEnd').add('rsi', 1)
    .loadByte('rcx', 'rsi').cmp('rcx', colon).jumpIf('notEqual', 'group')
    .mov('r8', 'rdi').add('rsi', 1).jmp('group')
    .label('groupsEnd').test('r8').jumpIf('equal', 'moved').mov('rdx', 'r13').add('rdx', 24)
    .label('move').mov('rax', 'rdi').sub('rax', 'r8').jumpIf('equal', 'moved').sub('rdi', 2).sub('rdx', 2)
    .load('rax', 'rdi', 0).mov('rcx', 0).storeWord('rdi', 0, 'rcx').storeWord('rdx', 0, 'rax').jmp('move')
    .label('moved').ret()
}

function ending(program: Assembler): void {
  const AF_INET6 = 10
  const SOCK_DGRAM = 2
  program
    .label('open').mov('rdi', AF_INET6).mov('rsi', SOCK_DGRAM).mov('rdx', 0).syscall(sys.socket).mov('r12', 'rax').test('rax').jumpIf('negative', 'fail').ret()
    .label('fail').mov('rdi', 1).syscall(sys.exit)
}
