import { addressText } from './frames.js';

/** A packet that pf(4) has logged. */
export interface Logged {
  readonly interface: string;
  readonly direction: 'in' | 'out';
  readonly verdict: 'pass' | 'block';
  /** Number of the filter rule, from 0; undefined for the default. */
  readonly rule: number | undefined;
  readonly src: string;
  readonly dst: string;
  /** Of IPv6 that of the first header. */
  readonly proto: number;
  /** What tells it apart: the identification of IPv4, the flow label of IPv6. */
  readonly mark: number;
}

/** Link type of pflog(4), LINKTYPE_PFLOG. */
const LINKTYPE = 117;
/** Bytes of struct pfloghdr (sys/net/if_pflog.h of FreeBSD 15), which are rounded up to a multiple of four. */
const HEADER = 69;
/** What stands for no rule. */
const NONE = 0xffffffff;

/**
 * Reads a file that tcpdump(8) has written of pflog(4) (pcap, little endian). What is cut off at its end is left out.
 *
 * @returns undefined if it is no such file
 */
export function readPflog(file: Buffer): readonly Logged[] | undefined {
  if (file.length < 24 || file.readUInt32LE(0) !== 0xa1b2c3d4 || file.readUInt32LE(20) !== LINKTYPE)
    return undefined;
  const found: Logged[] = [];
  for (let at = 24; at + 16 <= file.length;) {
    const length = file.readUInt32LE(at + 8);
    const record = file.subarray(at + 16, at + 16 + length);
    at += 16 + length;
    if (record.length < length) break;
    const logged = readRecord(record);
    if (logged) found.push(logged);
  }
  return found;
}

function readRecord(record: Buffer): Logged | undefined {
  if (record.length < HEADER) return undefined;
  const header = Math.ceil(record.readUInt8(0) / 4) * 4;
  const packet = record.subarray(header);
  const six = packet.length > 0 && packet.readUInt8(0) >> 4 === 6;
  if (header < HEADER || packet.length < (six ? 40 : 20)) return undefined;
  // Where an anchor of nat or rdr was gone through before, pf tells its number first, of a rule of the main ruleset too, which is
  // the one that has no name.
  const sub = record.readUInt32BE(40);
  const rule = sub === NONE || record.readUInt8(20) !== 0 ? record.readUInt32BE(36) : sub;
  const [from, size] = six ? [8, 16] : [12, 4];
  return {
    interface: record.toString('latin1', 4, 20).replace(/\0.*$/, ''),
    // PF_IN is 1, PF_PASS is 0.
    direction: record.readUInt8(60) === 1 ? 'in' : 'out',
    verdict: record.readUInt8(2) === 0 ? 'pass' : 'block',
    rule: rule === NONE ? undefined : rule,
    src: addressText(packet.subarray(from, from + size)),
    dst: addressText(packet.subarray(from + size, from + 2 * size)),
    proto: packet.readUInt8(six ? 6 : 9),
    mark: six ? packet.readUInt32BE(0) & 0xfffff : packet.readUInt16BE(4),
  };
}
