import { makeView } from '../../build/overlay/view.js';
import { ruleFiles } from '../../build/commands/rules.js';
import { proveImage } from '../../build/policy/image.js';
import { makeMaps } from '../../build/report/map-store.js';
import type { DrawnMap } from '../../build/report/map-store.js';
import { readFacts } from '../../build/report/facts.js';
import type { ImageFacts } from '../../build/report/facts.js';
import type { FleetRecord } from '../../build/fleet/record.js';
import { configOf } from './config.js';
import { overlayOf } from './deployment.js';

/** The facts of an image that was not built, with the real proof and maps of its configuration. */
export async function factsOf(
  values: Readonly<Record<string, string>>,
  operatorRules?: string,
): Promise<{ readonly facts: ImageFacts; readonly drawn: readonly DrawnMap[] }> {
  const config = configOf(values);
  const view = makeView(config);
  const entries = overlayOf(config, operatorRules === undefined ? {} : { operatorRules });
  const files = ruleFiles(entries);
  const drawn = await makeMaps({ files, view });
  const facts = readFacts(
    JSON.stringify({
      project: 'clawdie-iso 0.0.0',
      finished: '2026-01-02T03:04:05.000Z',
      images: [{ format: 'iso', name: 'x.iso', sha256: 'a'.repeat(64), bytes: 7_000_000 }],
      configuration: Object.fromEntries(
        Object.entries({ ASSISTANT_NAME: 'clawdie', ...values }).map(([key, value]) => [
          key,
          { value, origin: 'file' },
        ]),
      ),
      release: { id: 'r', from: 'a mirror', trust: 'pinned', sums: { 'base.txz': 'b'.repeat(64) } },
      baseImage: { key: 'k', slot: { offset: 0, length: 4_194_304 } },
      overlay: entries.map(({ path, type, uid, gid }) => ({
        ...{ path: `/${path}`, type, uid, gid, mode: '0644' },
        ...(type === 'file' && { sha256: 'c'.repeat(64) }),
      })),
      policy: proveImage(files, view, config.POLICY_EXCEPTIONS),
      root: {
        ...{ files: 3, bytes: 1000, imageBytes: 2000, compressedBytes: 500 },
        ...{ setuid: ['4555 0:0 /usr/bin/su'], kernelModules: ['pf.ko'], pruned: {} },
      },
      tools: { xz: '5' },
      stages: [{ stage: 'overlay', action: 'run', seconds: 1.5 }],
      maps: drawn.map(({ map }) => map),
    }),
  );
  if ('flaw' in facts) throw new Error(facts.flaw);
  return { facts, drawn };
}

/** The record of a fleet of so many. */
export function fleetOf(count: number): FleetRecord {
  return {
    ...{ format: 'clawdie-iso fleet record 2', project: 'clawdie-iso 0.0.0' },
    ...{ started: '2026-01-02T03:04:05.000Z', finished: '2026-01-02T03:05:05.000Z' },
    bases: [{ key: 'k', release: '15.1-RELEASE-amd64', from: 'a mirror', trust: 'pinned' }],
    deployments: Array.from({ length: count }, (_, index) => ({
      ...{ name: `n${index}`, assistant: `a${index}`, host: `rack${index % 7}` },
      ...{ agentNet: `192.168.${index % 250}.0/24`, inputs: 'i', base: 'k' },
      images: [
        {
          ...{ format: 'iso' as const, name: `a${index}-15.1-RELEASE-amd64.iso`, sha256: 'a'.repeat(64) },
          ...{ bytes: 300_000_000 + index, written: '1' },
        },
      ],
    })),
    made: ['n1', 'n2'],
  };
}

/** The tags of a page, without what its texts are. */
export function tagsOf(page: string): readonly string[] {
  return [...page.matchAll(/<\/?([a-z][a-z0-9]*)/gi)].map(([tag]) => tag);
}
