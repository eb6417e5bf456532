import { OVMF_PATHS, TOOLS } from '../host/tool-list.js';
import type { Purpose } from '../host/tool-list.js';
import { find, installCommands, versionOf } from '../host/tools.js';
import { existsSync } from 'node:fs';
import { shellQuote } from '../quote.js';
import { wrap } from '../wrap.js';

const NEEDED_BY: Readonly<Record<Purpose, string>> = {
  build: 'A build needs',
  pkgbase: 'Only base packages and disk images need',
  disk: 'Only disk images need',
  store: 'Only `publish` and `fleet --bases` need',
  test: 'Only the tests need',
  bench: 'Only the bench needs',
};

/**
 * `clawdie-iso doctor`: says which host tools are there, which version, and what each is needed for.
 *
 * @returns whether everything is there that a build needs
 */
export async function doctor(
  options: { readonly json: boolean; readonly colour: boolean; readonly columns: number },
  print: (line: string) => void,
): Promise<boolean> {
  const rows = await Promise.all(
    TOOLS.map(async (tool) => {
      const path = find(tool.name);
      return {
        name: tool.name,
        for: tool.for,
        need: tool.need,
        path,
        version: path === undefined ? undefined : await versionOf(tool),
      };
    }),
  );
  const firmware = OVMF_PATHS.find((path) => existsSync(path));
  rows.push({
    name: 'OVMF',
    for: 'test',
    need: 'boots the image in tests, by UEFI',
    path: firmware,
    version: firmware === undefined ? undefined : 'there',
  });
  const ready = rows.every((row) => row.path !== undefined || row.for !== 'build');
  if (options.json) {
    print(JSON.stringify({ ready, node: process.version, tools: rows }, null, 2));
    return ready;
  }
  const paint = (code: number, text: string): string =>
    options.colour ? `\u001b[${code}m${text}\u001b[0m` : text;
  const table = [
    {
      name: 'node',
      version: process.version.slice(1),
      for: 'build',
      need: 'runs this program',
      path: process.execPath,
    },
    ...rows,
  ];
  const names = Math.max(...table.map(({ name }) => name.length));
  const versions = Math.max(...table.map(({ version }) => (version ?? 'missing').length));
  // What it is for stands beside them, or below where long versions leave no room for it.
  const beside = names + versions + 4;
  const indent = options.columns - beside < 20 ? 4 : beside;
  for (const { name, version, need, for: purpose } of table) {
    const state = version ?? 'missing';
    const shown = state.padEnd(versions);
    const colour = version !== undefined ? 32 : purpose === 'build' ? 31 : 33;
    const row = `${name.padEnd(names)}  ${paint(colour, shown)}`;
    const [first = '', ...more] = wrap(need, options.columns - indent, 0);
    print(indent === beside ? `${row}  ${first}` : row);
    for (const line of indent === beside ? more : [first, ...more]) print(' '.repeat(indent) + line);
  }
  for (const purpose of ['build', 'store', 'test', 'bench'] as const) {
    const { names: lacking, commands } = installCommands(purpose);
    if (lacking.length === 0) continue;
    print('');
    print(`${NEEDED_BY[purpose]} what is missing. Run:`);
    for (const command of commands) print(`  ${command.map(shellQuote).join(' ')}`);
    break;
  }
  return ready;
}
