/**
 * The boot programs of the sample release. They stand where FreeBSD's own would and print a message on the screen and
 * on the first serial line (115200 8N1), then halt. Machine code is given with its assembly, a line an instruction.
 */

/** What the sample image says when it is booted. */
export const SAMPLE_MESSAGE = [
  'clawdie-iso: this is the SAMPLE image. It boots, but it holds no FreeBSD.',
  'For a real one, set SSH_AUTHORIZED_KEYS in build.cfg and run: make iso',
] as const;

type Line = readonly [code: string, assembly: string];

/** Real mode, loaded by a BIOS anywhere in the first 64 KiB; the text follows the code and ends with a zero byte. */
const BIOS: readonly Line[] = [
  ['fa', 'cli'],
  ['31c0', 'xor ax, ax'],
  ['8ed0', 'mov ss, ax'],
  ['bc007c', 'mov sp, 0x7c00'],
  ['fb', 'sti'],
  ['fc', 'cld'],
  ['bafb03', 'mov dx, 0x3fb          ; COM1 line control'],
  ['b083', 'mov al, 0x83           ; divisor latch, 8N1'],
  ['ee', 'out dx, al'],
  ['baf803', 'mov dx, 0x3f8'],
  ['b001', 'mov al, 1              ; 115200'],
  ['ee', 'out dx, al'],
  ['42', 'inc dx'],
  ['30c0', 'xor al, al'],
  ['ee', 'out dx, al'],
  ['bafb03', 'mov dx, 0x3fb'],
  ['b003', 'mov al, 3              ; 8N1'],
  ['ee', 'out dx, al'],
  ['e80000', 'call next'],
  ['5e', 'next: pop si'],
  ['81c63000', 'add si, text - next'],
  ['2eac', 'char: lods al, cs:[si]'],
  ['84c0', 'test al, al'],
  ['7422', 'jz halt'],
  ['88c1', 'mov cl, al'],
  ['56', 'push si'],
  ['51', 'push cx'],
  ['b40e', 'mov ah, 0x0e           ; teletype output'],
  ['bb0700', 'mov bx, 7'],
  ['cd10', 'int 0x10'],
  ['59', 'pop cx'],
  ['5e', 'pop si'],
  ['88cc', 'mov ah, cl'],
  ['bafd03', 'mov dx, 0x3fd          ; COM1 line status'],
  ['b9ffff', 'mov cx, 0xffff'],
  ['ec', 'wait: in al, dx'],
  ['a820', 'test al, 0x20          ; transmitter empty; bounded: there may be no port'],
  ['e1fb', 'loopz wait'],
  ['baf803', 'mov dx, 0x3f8'],
  ['88e0', 'mov al, ah'],
  ['ee', 'out dx, al'],
  ['ebd8', 'jmp char'],
  ['f4', 'halt: hlt'],
  ['ebfd', 'jmp halt'],
];

/** Long mode, called by UEFI as efi_main(ImageHandle: rcx, SystemTable: rdx); the UTF-16 text follows the code. */
const UEFI: readonly Line[] = [
  ['4883ec28', 'sub rsp, 0x28'],
  ['4889d3', 'mov rbx, rdx'],
  ['488b4360', 'mov rax, [rbx + 0x60]  ; BootServices'],
  ['31c9', 'xor ecx, ecx'],
  ['31d2', 'xor edx, edx'],
  ['4531c0', 'xor r8d, r8d'],
  ['4531c9', 'xor r9d, r9d'],
  ['ff9000010000', 'call [rax + 0x100]     ; SetWatchdogTimer(0, 0, 0, NULL)'],
  ['488b4b40', 'mov rcx, [rbx + 0x40]  ; ConOut'],
  ['488d1506000000', 'lea rdx, [rip + 6]     ; text'],
  ['ff5108', 'call [rcx + 8]         ; OutputString'],
  ['f4', 'halt: hlt'],
  ['ebfd', 'jmp halt'],
];

function assemble(lines: readonly Line[]): Buffer {
  return Buffer.from(lines.map(([code]) => code).join(''), 'hex');
}

const TEXT = `\r\n${SAMPLE_MESSAGE.join('\r\n')}\r\n`;

/** A boot program for a BIOS: fits the 440 bytes of a master boot record's code area. */
export function biosStub(): Buffer {
  return Buffer.concat([assemble(BIOS), Buffer.from(`${TEXT}\0`, 'latin1')]);
}

/** The BIOS stub as boot/pmbr: 512 bytes with the boot signature. */
export function pmbrStub(): Buffer {
  const sector = Buffer.alloc(512);
  const code = biosStub();
  if (code.length > 440) throw new Error(`the stub has ${code.length} bytes, a master boot record takes 440`);
  code.copy(sector);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** A UEFI application for x86-64: a PE32+ file of one section (PE/COFF specification; UEFI 2.10, 2.1.1). */
export function uefiStub(): Buffer {
  const ALIGN = 0x200;
  const SECTION = 0x1000;
  const body = Buffer.concat([assemble(UEFI), Buffer.from(`${TEXT}\0`, 'utf16le')]);
  const size = Math.ceil(body.length / ALIGN) * ALIGN;
  const file = Buffer.alloc(ALIGN + size);
  file.write('MZ', 0, 'latin1');
  const pe = 0x80;
  file.writeUInt32LE(pe, 0x3c);
  file.write('PE\0\0', pe, 'latin1');
  const coff = pe + 4;
  const optional = coff + 20;
  const optionalSize = 112 + 16 * 8;
  file.writeUInt16LE(0x8664, coff); // machine: x86-64
  file.writeUInt16LE(1, coff + 2); // sections
  file.writeUInt16LE(optionalSize, coff + 16);
  file.writeUInt16LE(0x0022, coff + 18); // executable, large addresses
  file.writeUInt16LE(0x20b, optional); // PE32+
  file.writeUInt32LE(size, optional + 4); // size of code
  file.writeUInt32LE(SECTION, optional + 16); // entry point
  file.writeUInt32LE(SECTION, optional + 20); // base of code
  file.writeBigUInt64LE(0n, optional + 24); // image base: anywhere
  file.writeUInt32LE(SECTION, optional + 32); // section alignment
  file.writeUInt32LE(ALIGN, optional + 36); // file alignment
  file.writeUInt32LE(SECTION * 2, optional + 56); // size of image
  file.writeUInt32LE(ALIGN, optional + 60); // size of headers
  file.writeUInt16LE(10, optional + 68); // subsystem: EFI application
  file.writeUInt32LE(16, optional + 108); // data directories, all empty
  const section = optional + optionalSize;
  file.write('.text', section, 'latin1');
  file.writeUInt32LE(body.length, section + 8);
  file.writeUInt32LE(SECTION, section + 12);
  file.writeUInt32LE(size, section + 16);
  file.writeUInt32LE(ALIGN, section + 20);
  file.writeUInt32LE(0x60000020, section + 36); // code, execute, read
  body.copy(file, ALIGN);
  return file;
}
