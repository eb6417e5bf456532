import type { OverlayEntry } from '../overlay/render.js';

/** One thing that is typed on an instance as root, how it has to end, and what it must and must not show. */
export interface Step {
  /** Small letters, digits and hyphens; unique. */
  readonly name: string;
  /** The check that it belongs to. */
  readonly check: string;
  /** As typed: lines of sh(1). */
  readonly typed: string;
  /** Its exit code (0 if none is given), any but 0, or whatever it is. */
  readonly ends?: number | 'failing' | 'any';
  /** Each has to be found in what it says. */
  readonly shows?: readonly RegExp[];
  /** None of them may be found there. */
  readonly hides?: readonly RegExp[];
  /** Lines that are worth telling where all holds. */
  readonly tells?: RegExp;
  /** What it may take, in seconds; 120 if none is given. */
  readonly seconds?: number;
}

/** A file beside an overlay. */
export type Extra = Pick<OverlayEntry, 'path' | 'mode' | 'body'>;

/** Folders of steps that clawdie_inspect types: at the first boot, and at each later one of an instance on a disk. */
export const STEPS_FIRST = 'etc/clawdie/inspect.d';
export const STEPS_AGAIN = 'etc/clawdie/inspect.again';

/** Seconds that a step may take. */
const USUAL = 120;

/**
 * Steps as files, in their order: `NNN.name`, the first line of which is a comment with the seconds that it may take. Pure.
 */
export function stepFiles(folder: string, steps: readonly Step[]): readonly Extra[] {
  return steps.map(({ name, typed, seconds }, index) => ({
    path: `${folder}/${String(index + 1).padStart(3, '0')}.${name}`,
    mode: 0o444,
    body: `# ${seconds ?? USUAL} seconds\n${typed.trimEnd()}\n`,
  }));
}

/** Seconds that all of the steps may take together. */
export function secondsOf(steps: readonly Step[]): number {
  return steps.reduce((sum, { seconds }) => sum + (seconds ?? USUAL), 0);
}

/** What clawdie_inspect says when a step begins, and when there are no more. */
export const stepBegun = (name: string): RegExp => new RegExp(`^===step \\d+\\.${name} begun`, 'm');
export const STEPS_ENDED = /^===step end/m;

/** What came of a step. */
export interface Typed {
  readonly code: number;
  readonly seconds: number;
  readonly lines: readonly string[];
}

/**
 * Reads what clawdie_inspect has said on the console about the steps that it typed. What others say between its lines is
 * passed over: its own begin with `| `.
 */
export function typedOn(console: string): ReadonlyMap<string, Typed> {
  const found = new Map<string, Typed>();
  let lines: string[] = [];
  let name: string | undefined;
  for (const line of console.split('\n')) {
    const begun = /===step \d+\.([a-z0-9-]+) begun$/.exec(line)?.[1];
    const ended = /===step \d+\.([a-z0-9-]+) ended (\d+) (\d+)$/.exec(line);
    if (begun !== undefined) [name, lines] = [begun, []];
    else if (ended && ended[1] === name && name !== undefined) {
      found.set(name, { code: Number(ended[2]), seconds: Number(ended[3]), lines });
      name = undefined;
    } else if (name !== undefined && line.startsWith('| ')) lines.push(line.slice(2));
  }
  return found;
}

/** The steps that have ended by now, a line each, as somebody who waits likes to read them. */
export function progressOn(console: string): readonly string[] {
  return [...typedOn(console)].map(([name, { code, seconds }]) => `${name}: ${code}, ${seconds} s`);
}

/** What of a step is not as it has to be, in words; nothing if all is. */
export function stepFlaws(step: Step, typed: Typed | undefined): readonly string[] {
  const said = (flaw: string): string => `${step.name}: ${flaw}`;
  if (!typed) return [said('was not typed, or did not come to its end')];
  const { code, lines } = typed;
  const text = lines.join('\n');
  const ends = step.ends ?? 0;
  const last = lines
    .filter((line) => line.trim() !== '')
    .slice(-6)
    .join(' / ');
  const ended =
    ends === 'any' || (ends === 'failing' ? code !== 0 && code !== 124 : code === ends)
      ? []
      : [
          said(
            `ended with ${code}${code === 124 ? ' (it took too long)' : ''}, not ${ends === 'failing' ? 'as something that is refused' : ends}${last === '' ? '' : `; said: ${last}`}`,
          ),
        ];
  return [
    ...ended,
    ...(step.shows ?? [])
      .filter((wanted) => !wanted.test(text))
      .map((wanted) => said(`does not show ${wanted.source}${last === '' ? '' : `; said: ${last}`}`)),
    ...(step.hides ?? []).flatMap((hidden) =>
      lines.filter((line) => hidden.test(line)).map((line) => said(`shows: ${line.trim()}`)),
    ),
  ];
}

/** Lines of a step that are worth telling. */
export function stepTold({ tells }: Step, typed: Typed | undefined): readonly string[] {
  if (tells === undefined) return [];
  return (typed?.lines ?? [])
    .filter((line) => tells.test(line))
    .map((line) => line.trim().replace(/\s{2,}/g, ' '));
}
