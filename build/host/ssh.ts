import { shellQuote } from '../quote.js';
import { attemptWith } from './process.js';
import type { Outcome } from './process.js';

/**
 * Runs a command on another machine by ssh(1), with the user's configuration, keys and agent, in a connection of its own
 * (ControlPath=none: one that is shared would say nothing of who still gets in).
 *
 * @param destination as ssh(1) takes it
 * @param batch whether nobody is there to answer questions
 */
export function ssh(
  destination: string,
  command: readonly string[],
  { input, batch, signal }: { input?: Buffer; batch: boolean; signal: AbortSignal },
): Promise<Outcome> {
  return attemptWith(
    [
      ...['ssh', '-T', '-o', 'ControlPath=none', '-o', 'ConnectTimeout=15'],
      ...['-o', 'ServerAliveInterval=10', '-o', 'ServerAliveCountMax=3'],
      ...(batch ? ['-o', 'BatchMode=yes'] : []),
      ...['--', destination, command.map(shellQuote).join(' ')],
    ],
    input ?? Buffer.alloc(0),
    signal,
  );
}
