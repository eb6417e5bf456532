/** overlays/inspect/send.s, assembled: amd64, as bytes in hexadecimal. */
const CODE = [
  '4881ec00010000c784248000000010020000c784248800000000000000c784248c00000000000000c784249000000001',
  '00000048c78424a00000000000000048c78424a800000040420f00b861000000bf02000000be03000000baff0000000f',
  '050f82d000000089c3b86900000089df31f6ba020000004c8d94249000000041b8040000000f050f82aa000000b80300',
  '000031ff4889e6ba140000000f050f829300000083f8140f85880000000fb76c24029586e09581fd8000000077778b44',
  '241089842484000000b80300000031ff488d7424148d55ec0f05725bb88500000089df4889e689ea4531d24c8d842480',
  '00000041b9100000000f05720231c088842490000000b804000000bf01000000488db42490000000ba010000000f05b8',
  'f0000000488dbc24a000000031f60f05e958ffffff31c089c7b8010000000f05',
].join('');

/** Where the program is loaded. */
const BASE = 0x400000n;
/** Bytes of the ELF header and of one program header (elf(5), 64 bits). */
const [HEADER, SEGMENT] = [64, 56];

/** The program that sends packets as they are written, by a raw socket, for FreeBSD on amd64: an ELF file, statically linked. Pure. */
export function sendProgram(): Buffer {
  const code = Buffer.from(CODE, 'hex');
  const start = HEADER + SEGMENT;
  const file = Buffer.alloc(start + code.length);
  // 64 bits, little endian, version 1; ELFOSABI_FREEBSD is 9.
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 9]);
  // An executable file (2) for x86-64 (62), version 1.
  file.writeUInt16LE(2, 16);
  file.writeUInt16LE(62, 18);
  file.writeUInt32LE(1, 20);
  file.writeBigUInt64LE(BASE + BigInt(start), 24);
  file.writeBigUInt64LE(BigInt(HEADER), 32);
  file.writeUInt16LE(HEADER, 52);
  file.writeUInt16LE(SEGMENT, 54);
  file.writeUInt16LE(1, 56);
  // All of the file is loaded (PT_LOAD, 1), to be read and run (5), at a multiple of a page.
  file.writeUInt32LE(1, HEADER);
  file.writeUInt32LE(5, HEADER + 4);
  file.writeBigUInt64LE(BASE, HEADER + 16);
  file.writeBigUInt64LE(BASE, HEADER + 24);
  file.writeBigUInt64LE(BigInt(file.length), HEADER + 32);
  file.writeBigUInt64LE(BigInt(file.length), HEADER + 40);
  file.writeBigUInt64LE(0x1000n, HEADER + 48);
  code.copy(file, start);
  return file;
}
