import { connect } from 'node:net';
import { createInterface } from 'node:readline';

/** What QEMU answers where it does not do as it was told. */
export class QmpError extends Error {
  constructor(
    readonly command: string,
    message: string,
  ) {
    super(message);
  }
}

/** QEMU's end for commands (docs/interop/qmp-spec of QEMU); one at a time is listened to. */
export interface Control {
  /** Sends a command and waits for its answer. @throws QmpError if it is refused, or QEMU is gone. */
  readonly ask: (command: string, args: object) => Promise<void>;
  readonly close: () => void;
}

/**
 * Opens QEMU's socket for commands.
 *
 * @throws QmpError if there is none.
 */
export async function openControl(path: string): Promise<Control> {
  const socket = connect(path);
  const waiting: ((line: string) => void)[] = [];
  let broken: string | undefined;
  const gone = (why: string): void => {
    broken ??= JSON.stringify({ error: { desc: why } });
    for (const answer of waiting.splice(0)) answer(broken);
  };
  socket.on('error', (error) => {
    gone(error.message);
  });
  socket.on('close', () => {
    gone('QEMU has ended');
  });
  createInterface({ input: socket })
    .on('line', (line) => {
      // Greetings and events answer nothing.
      if (/"(?:return|error)":/.test(line)) waiting.shift()?.(line);
    })
    .on('error', () => undefined);
  const ask = async (command: string, args: object): Promise<void> => {
    const line = await new Promise<string>((resolve) => {
      if (broken !== undefined) resolve(broken);
      else {
        waiting.push(resolve);
        socket.write(`${JSON.stringify({ execute: command, arguments: args })}\n`);
      }
    });
    const { error } = JSON.parse(line) as { readonly error?: { readonly desc: string } };
    if (error) throw new QmpError(command, error.desc);
  };
  await ask('qmp_capabilities', {});
  return { ask, close: () => socket.destroy() };
}
