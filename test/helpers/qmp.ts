import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { onTestFinished } from 'vitest';

export interface QmpCommand {
  readonly execute: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

/** The end of QMP that is QEMU's: says hello, notes what it is told, and answers. */
export async function qmp(
  path: string,
  answer: (command: QmpCommand) => object,
): Promise<readonly QmpCommand[]> {
  const told: QmpCommand[] = [];
  const server = createServer((client) => {
    client.write('{"QMP": {"version": {}}}\n');
    client.on('error', () => undefined);
    createInterface({ input: client }).on('line', (line) => {
      const command = JSON.parse(line) as QmpCommand;
      told.push(command);
      client.write(`{"event": "NIC_RX_FILTER_CHANGED"}\n${JSON.stringify(answer(command))}\n`);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  onTestFinished(() => {
    server.close();
  });
  return told;
}
