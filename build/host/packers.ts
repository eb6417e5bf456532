import { UserError } from '../error.js';
import { find } from './tools.js';

const PACKERS: readonly (readonly [
  magic: string,
  command: (memory: string) => readonly [string, ...string[]],
])[] = [
  ['28b52ffd', (memory) => ['zstd', '-dcq', `--memory=${memory}`]],
  [
    'fd377a585a00',
    (memory) => [
      ...(['xz', '-dcq', '-T0'] as const),
      ...[`--memlimit-decompress=${memory}`, `--memlimit-mt-decompress=${memory}`],
    ],
  ],
];

/** Bytes that tell how something is packed. */
export const MAGIC_BYTES = 8;

/**
 * The command that unpacks standard input to standard output, by what the bytes begin with: zstd(1) or xz(1).
 *
 * @param begins the first {@link MAGIC_BYTES} bytes
 * @param where what messages call them
 * @param memory what it may take, as in `256MiB`
 * @returns undefined if they are packed with neither
 * @throws UserError if the tool is not on this machine.
 */
export function unpackCommand(
  begins: Buffer,
  where: string,
  memory: string,
): readonly [string, ...string[]] | undefined {
  const digits = begins.toString('hex');
  const command = PACKERS.find(([magic]) => digits.startsWith(magic))?.[1](memory);
  if (command && find(command[0]) === undefined)
    throw new UserError(
      `${command[0]} is not on this machine, and ${where} is packed with it.`,
      `Install ${command[0]}.`,
    );
  return command;
}
