import { KEY_NAMES, KEYS } from './keys.js';

/** The text of build.cfg.example: every key with its documentation and its default. */
export function exampleText(): string {
  const lines = [
    '# build.cfg: one deployment.',
    '#',
    '# Copy this file to build.cfg and change what differs; every key may be left out, its default is what stands here.',
    '# KEY="value", quoted as in sh(1); nothing is expanded or executed. Values with a $ go in single quotes.',
    '# The environment overrides this file (CLAWDIE_ASSISTANT_NAME=…), --set KEY=value overrides both.',
    '# `clawdie-iso config` prints the result and where each value came from.',
    '#',
    '# This file is generated from build/config/keys.ts: `npm run example`.',
  ];
  let group = '';
  for (const name of KEY_NAMES) {
    const key = KEYS[name];
    if (key.group !== group) {
      group = key.group;
      lines.push('', '', `# ---- ${group} ${'-'.repeat(Math.max(0, 90 - group.length))}`);
    }
    lines.push('', ...key.doc.map((line) => `# ${line}`), `${name}="${key.fallback}"`);
  }
  return `${lines.join('\n')}\n`;
}
