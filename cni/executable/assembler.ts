/**
 * A very small assembler: enough of x86-64 to write a static Linux program of a few hundred bytes without a compiler
 * on the user's machine. One method per instruction form, named after its mnemonic; labels are resolved at the end.
 *
 * Encodings: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2. Executable format: System V ABI,
 * ELF-64, one loadable segment that holds the ELF header, the code, the data, and zeroed memory behind them.
 */

const registers = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi', 'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15'] as const
export type Register = (typeof registers)[number]

/** Conditions of `jcc`, by their opcode's low nibble. */
const conditions = { equal: 0x4, notEqual: 0x5, negative: 0x8, below: 0x2, above: 0x7 } as const
export type Condition = keyof typeof conditions

interface Fixup {
  readonly at: number
  readonly label: string
  readonly kind: 'relative' | 'absolute'
}

const loadAddress = 0x40_0000
const headerBytes = 64 + 56 // one ELF header and one program header

export class Assembler {
  readonly #bytes: number[] = []
  readonly #labels = new Map<string, number>()
  readonly #fixups: Fixup[] = []
  #zeroed = 0

  /** Gives the next instruction or datum a name. */
  label(name: string): this {
    this.#labels.set(name, this.#bytes.length)
    return this
  }

  /** `mov register, value`: a number that fits 31 bits, another register, or the address of a label. */
  mov(to: Register, value: number | Register | { readonly address: string }): this {
    if (typeof value === 'string') return this.#registerForm(0x89, to, value)
    this.#rex(to).#emit(0xc7, 0xc0 | low(to))
    return typeof value === 'number' ? this.#immediate32(value) : this.#fixup(value.address, 'absolute')
  }

  /** `mov register, qword [base + displacement]` */
  load(to: Register, base: Register, displacement: number): this {
    return this.#memory([0x8b], to, base, displacement)
  }

  /** `movzx register, byte [base]` */
  loadByte(to: Register, base: Register): this {
    return this.#memory([0x0f, 0xb6], to, base, 0)
  }

  /** `mov qword [base + displacement], register` */
  store(base: Register, displacement: number, from: Register): this {
    return this.#memory([0x89], from, base, displacement)
  }

  /** `mov dword [base + displacement], register` (the low half) */
  storeDword(base: Register, displacement: number, from: Register): this {
    return this.#emit(0x40 | (high(from) << 2) | high(base), 0x89).#modrm(from, base, displacement)
  }

  /** `mov word [base + displacement], register` (the low quarter) */
  storeWord(base: Register, displacement: number, from: Register): this {
    return this.#emit(0x66, 0x40 | (high(from) << 2) | high(base), 0x89).#modrm(from, base, displacement)
  }

  add(to: Register, value: number | Register): this {
    return typeof value === 'number' ? this.#immediateForm(0, to, value) : this.#registerForm(0x01, to, value)
  }

  or(to: Register, from: Register): this {
    return this.#registerForm(0x09, to, from)
  }

  sub(to: Register, value: number | Register): this {
    return typeof value === 'number' ? this.#immediateForm(5, to, value) : this.#registerForm(0x29, to, value)
  }

  cmp(register: Register, value: number): this {
    return this.#immediateForm(7, register, value)
  }

  test(register: Register): this {
    return this.#registerForm(0x85, register, register)
  }

  /** `imul register, register, factor` */
  imul(register: Register, factor: number): this {
    return this.#emit(0x48 | (high(register) << 2) | high(register), 0x69, 0xc0 | (low(register) << 3) | low(register)).#immediate32(factor)
  }

  /** `shl register, count` */
  shl(register: Register, count: number): this {
    return this.#rex(register).#emit(0xc1, 0xe0 | low(register), count)
  }

  /** `bswap r32`: from the host's byte order to the network's. */
  swapDword(register: Register): this {
    return this.#emit(0x40 | high(register), 0x0f, 0xc8 | low(register))
  }

  /** `xchg al, ah`: the low 16 bits of rax from the host's byte order to the network's. */
  swapWordInRax(): this {
    return this.#emit(0x86, 0xc4)
  }

  jmp(label: string): this {
    return this.#emit(0xe9).#fixup(label, 'relative')
  }

  jumpIf(condition: Condition, label: string): this {
    return this.#emit(0x0f, 0x80 | conditions[condition]).#fixup(label, 'relative')
  }

  call(label: string): this {
    return this.#emit(0xe8).#fixup(label, 'relative')
  }

  ret(): this {
    return this.#emit(0xc3)
  }

  /** A Linux system call: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; the result (negative: -errno) in rax. */
  syscall(number: number): this {
    return this.mov('rax', number).#emit(0x0f, 0x05)
  }

  /** Bytes as they are: constants and initialised structures. */
  data(name: string, bytes: Uint8Array): this {
    return this.label(name).#emit(...bytes)
  }

  /** Zeroed memory that takes no room in the file. To be called after all code and data. */
  zeroed(name: string, bytes: number): this {
    this.#labels.set(name, this.#bytes.length + this.#zeroed)
    this.#zeroed += bytes
    return this
  }

  /** The whole executable; begins at the label `start`. */
  executable(): Uint8Array {
    const file = new Uint8Array(headerBytes + this.#bytes.length)
    const view = new DataView(file.buffer)
    this.#header(view)
    file.set(this.#bytes, headerBytes)
    for (const { at, label, kind } of this.#fixups) {
      const target = this.#offsetOf(label)
      view.setInt32(headerBytes + at, kind === 'absolute' ? loadAddress + headerBytes + target : target - (at + 4), true)
    }
    return file
  }

  #header(view: DataView): void {
    const size = BigInt(headerBytes + this.#bytes.length)
    const identification = [0x7f, 0x45, 0x4c, 0x46, 2 /* 64 bits */, 1 /* little endian */, 1 /* version */]
    identification.forEach((byte, index) => view.setUint8(index, byte))
    view.setUint16(16, 2, true) // ET_EXEC
    view.setUint16(18, 62, true) // EM_X86_64
    view.setUint32(20, 1, true) // EV_CURRENT
    view.setBigUint64(24, BigInt(loadAddress + headerBytes + this.#offsetOf('start')), true)
    view.setBigUint64(32, 64n, true) // the program header follows
    view.setUint16(52, 64, true)
    view.setUint16(54, 56, true)
    view.setUint16(56, 1, true)
    view.setUint32(64, 1, true) // PT_LOAD
    view.setUint32(68, 7, true) // readable, writable, executable: code, data and buffer share the segment
    view.setBigUint64(80, BigInt(loadAddress), true)
    view.setBigUint64(88, BigInt(loadAddress), true)
    view.setBigUint64(96, size, true)
    view.setBigUint64(104, size + BigInt(this.#zeroed), true)
    view.setBigUint64(112, 0x1000n, true)
  }

  #offsetOf(label: string): number {
    const offset = this.#labels.get(label)
    if (offset === undefined) throw new Error(`Cannot assemble: no label ${label}`)
    return offset
  }

  #emit(...bytes: number[]): this {
    for (const byte of bytes) this.#bytes.push(byte)
    return this
  }

  #rex(register: Register): this {
    return this.#emit(0x48 | high(register))
  }

  #registerForm(opcode: number, to: Register, from: Register): this {
    return this.#emit(0x48 | (high(from) << 2) | high(to), opcode, 0xc0 | (low(from) << 3) | low(to))
  }

  #immediateForm(extension: number, register: Register, value: number): this {
    return this.#rex(register).#emit(0x81, 0xc0 | (extension << 3) | low(register)).#immediate32(value)
  }

  #memory(opcode: readonly number[], register: Register, base: Register, displacement: number): this {
    return this.#emit(0x48 | (high(register) << 2) | high(base), ...opcode).#modrm(register, base, displacement)
  }

  #modrm(register: Register, base: Register, displacement: number): this {
    if (low(base) === 4) throw new Error(`Cannot assemble: ${base} as a base needs a form that is not here`)
    return this.#emit(0x40 | (low(register) << 3) | low(base), displacement & 0xff)
  }

  #immediate32(value: number): this {
    return this.#emit(value & 0xff, (value >> 8) & 0xff, (value >> 16) & 0xff, (value >> 24) & 0xff)
  }

  #fixup(label: string, kind: Fixup['kind']): this {
    this.#fixups.push({ at: this.#bytes.length, label, kind })
    return this.#immediate32(0)
  }
}

function low(register: Register): number {
  return registers.indexOf(register) & 7
}

function high(register: Register): number {
  return registers.indexOf(register) >> 3
}
