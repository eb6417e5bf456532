import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseNetwork4 } from '../../../build/config/net.js';
import type { Network4 } from '../../../build/config/net.js';
import { findConflicts } from '../../../build/fleet/conflicts.js';
import type { Placed } from '../../../build/fleet/conflicts.js';
import { deal, githubMatrix, gitlabPipeline } from '../../../build/fleet/matrix.js';
import type { Planned } from '../../../build/fleet/matrix.js';
import { parseFleetRecord, parseJournal } from '../../../build/fleet/record.js';
import { parseShard, select } from '../../../build/fleet/select.js';

describe('select', () => {
  const names = fc.uniqueArray(fc.stringMatching(/^[a-z][a-z0-9-]{0,8}$/), { maxLength: 60 });

  it('every shard takes its own, all together take all, and none is larger by more than one', () => {
    fc.assert(
      fc.property(names, fc.integer({ min: 1, max: 20 }), (all, of) => {
        const shards = Array.from({ length: of }, (_, index) => select(all, [], { part: index + 1, of }));
        expect(shards.flat().sort()).toEqual([...all].sort());
        const sizes = shards.map((shard) => shard.length);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
      }),
    );
  });

  it('does not depend on the order in which a folder gives its files', () => {
    const shard = { part: 2, of: 3 };
    expect(select(['c', 'a', 'b', 'd'], [], shard)).toEqual(select(['a', 'b', 'c', 'd'], [], shard));
  });

  it('takes names and patterns literally but for the asterisk, and refuses those of nobody', () => {
    expect(select(['a.b', 'axb', 'a-1', 'a-2'], ['a.b', 'a-*'], undefined)).toEqual(['a-1', 'a-2', 'a.b']);
    expect(() => select(['natasha'], ['natascha'], undefined)).toThrow('There is no deployment natascha.');
    expect(() => select([], ['x*'], undefined)).toThrow('There is no deployment x*.');
  });

  it.each(['0/4', '5/4', '4', 'a/b', '1/0', '-1/2', '1/2/3', ''])('refuses the shard %j', (text) => {
    expect(() => parseShard(text)).toThrow('is not K/N');
  });

  it('reads a shard', () => {
    expect(parseShard('3/8')).toEqual({ part: 3, of: 8 });
  });
});

describe('matrix', () => {
  const planned = (name: string, action: Planned['action'] = 'make'): Planned => ({
    ...{ name, action, file: `${name}.cfg`, images: [`${name}.iso`], release: 'r', base: 'k' },
  });

  it('deals out every name once, to no more jobs than there may be', () => {
    fc.assert(
      fc.property(fc.nat(400), fc.integer({ min: 1, max: 256 }), (count, jobs) => {
        const names = Array.from({ length: count }, (_, index) => `n${index}`);
        const parts = deal(names, jobs);
        expect(parts.length).toBe(Math.min(jobs, count));
        expect(parts.flatMap((part) => part.split(',')).sort()).toEqual([...names].sort());
      }),
    );
  });

  it('leaves out what is kept; a GitLab pipeline has a job even then', () => {
    const plan = [planned('a'), planned('b', 'keep')];
    expect(githubMatrix(plan, 256)).toBe('{"include":[{"deployments":"a"}]}');
    expect(gitlabPipeline(plan, 200, '/ci.yml')).toBe(
      'include:\n  - local: "/ci.yml"\n\nimages:\n  extends: .image\n  parallel:\n    matrix:\n      - DEPLOYMENTS: "a"\n',
    );
    expect(gitlabPipeline([planned('b', 'keep')], 200, '/ci.yml')).toContain('nothing-changed:');
    expect(githubMatrix([planned('b', 'keep')], 256)).toBe('{"include":[]}');
  });
});

describe('conflicts', () => {
  const net = (text: string): Network4 => {
    const found = parseNetwork4(text);
    if (!found) throw new Error(text);
    return found;
  };
  const placed = (file: string, assistant: string, host: string, ...nets: readonly string[]): Placed => ({
    ...{ file, assistant, host, agentNet: nets[0] ?? '', nets: nets.map(net) },
  });

  it('refuses one name or overlapping nets on one machine, however its name is written', () => {
    expect(
      findConflicts([
        placed('a', 'clawdie', 'Rack1', '10.0.1.0/24'),
        placed('b', 'clawdie', 'rack1', '10.0.2.0/24', '10.0.1.0/24'),
        placed('c', 'natasha', 'rack2', '10.0.2.0/24'),
      ]),
    ).toEqual({
      refused: [
        'HOST rack1: a and b have one ASSISTANT_NAME, clawdie.',
        'HOST rack1: the jail nets of a and b overlap.',
      ],
      warned: ['b and c have one AGENT_NET, 10.0.2.0/24; they must not share a machine.'],
    });
  });

  it('only warns of machines of their own, once for all of them', () => {
    const fleet = Array.from({ length: 100 }, (_, index) =>
      placed(`n${index}`, 'clawdie', '', '192.168.100.0/24'),
    );
    expect(findConflicts(fleet)).toEqual({
      refused: [],
      warned: [
        'n0, n1, n2 and 97 more have one ASSISTANT_NAME, clawdie; they must not share a machine.',
        'n0, n1, n2 and 97 more have one AGENT_NET, 192.168.100.0/24; they must not share a machine.',
      ],
    });
  });
});

describe('fleet records', () => {
  const entry = {
    ...{ name: 'a', assistant: 'clawdie', host: '', agentNet: '10.0.0.0/24' },
    ...{ inputs: 'i', base: 'b' },
    images: [{ format: 'iso', name: 'a.iso', sha256: 'a'.repeat(64), bytes: 1, written: '1' }],
  };

  it('are read, and what is none says why', () => {
    const record = {
      ...{ format: 'clawdie-iso fleet record 2', project: 'p', started: 's', finished: 'f' },
      ...{ bases: [], deployments: [entry], made: ['a'] },
    };
    expect(parseFleetRecord(JSON.stringify(record))).toEqual(record);
    expect(parseFleetRecord('{')).toEqual({ flaw: 'it is no JSON' });
    expect(parseFleetRecord('{"format":"other"}')).toHaveProperty('flaw');
    const damaged = { ...record, deployments: [{ ...entry, images: [{ ...entry.images[0], sha256: 'x' }] }] };
    expect(parseFleetRecord(JSON.stringify(damaged))).toHaveProperty('flaw');
  });

  it('in a journal: all lines that are whole, whatever a kill has left', () => {
    const line = JSON.stringify(entry);
    fc.assert(
      fc.property(fc.nat(line.length - 1), (cut) => {
        expect(parseJournal(`${line}\n${line}\n${line.slice(0, cut)}`)).toEqual([entry, entry]);
      }),
    );
  });
});
