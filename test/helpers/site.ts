import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { baseEntries } from './repository.js';
import type { RepositoryKey } from './repository.js';
import { writeSets } from './sets.js';
import { addToTxz } from './tar.js';

/** Writes a folder `site` with a build.cfg, and release sets that trust a key beside it. @returns the folder */
export async function writeSite(folder: string, key: RepositoryKey, lines: string): Promise<string> {
  const sets = await writeSets(folder, (path) =>
    addToTxz(join(path, 'base.txz'), baseEntries([key.fingerprint])),
  );
  const site = join(folder, 'site');
  mkdirSync(site);
  writeFileSync(join(site, 'build.cfg'), `${sets}HTTP=no\nHTTPS=no\nJAILS=\n${lines}\n`);
  return site;
}

/** Makes a fleet of such a folder: what its build.cfg says is common to anna, and to boris, who installs git-lite. */
export function makeFleet(site: string): void {
  renameSync(join(site, 'build.cfg'), join(site, 'common.cfg'));
  writeFileSync(join(site, 'a.cfg'), 'ASSISTANT_NAME=anna\nHOSTNAME=anna\n');
  writeFileSync(
    join(site, 'b.cfg'),
    'ASSISTANT_NAME=boris\nHOSTNAME=boris\nPACKAGES="git-lite"\nAGENT_NET=192.168.7.0/24\n',
  );
}
