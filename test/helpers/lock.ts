import { sha256 } from '../../build/host/hash.js';
import type { Lock } from '../../build/packages/lockfile.js';
import { makePackage, MADE } from './repository.js';
import type { TestPackage } from './repository.js';

/** A package of a test, and who asks for it. */
export interface LockedTestPackage extends TestPackage {
  readonly asked?: readonly string[];
}

/** A lock of packages that are made for it, in that order, and their files by name. */
export async function lockOf(
  packages: readonly LockedTestPackage[],
): Promise<{ readonly lock: Lock; readonly files: ReadonlyMap<string, Buffer> }> {
  const files = new Map<string, Buffer>();
  const locked: Lock['packages'] = [];
  for (const each of packages) {
    const { file, manifest } = await makePackage(each);
    const text = (key: string): string => String(manifest[key]);
    const list = (key: string): string[] | undefined => manifest[key] as string[] | undefined;
    files.set(each.name, file);
    const [needs, has] = [list('shlibs_required'), list('shlibs_provided')];
    locked.push({
      ...{ abi: text('abi'), name: each.name, origin: text('origin'), path: text('path') },
      ...{ asked: [...(each.asked ?? [])], needs: [...(each.deps ?? [])], sum: text('sum') },
      ...{ sha256: sha256(file), size: file.length, flatsize: Number(manifest['flatsize']) },
      version: text('version'),
      ...((needs ?? has) && { libraries: { ...(needs && { needs }), ...(has && { has }) } }),
    });
  }
  const hex = '0'.repeat(64);
  return {
    files,
    lock: {
      asked: {},
      catalogue: {
        ...{ key: hex, sha256: hex, url: 'file:///nowhere' },
        time: new Date(MADE * 1000).toISOString().replace('.000', ''),
      },
      checksum: hex,
      format: 'clawdie lock 1',
      npm: [],
      packages: locked,
      release: {
        abi: 'FreeBSD:15:amd64',
        arch: 'amd64',
        id: 'x',
        profiles: ['standard'],
        version: '15.1-RELEASE',
      },
    },
  };
}
