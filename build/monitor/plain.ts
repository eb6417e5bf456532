import { STAGES } from '../pipeline/events.js';
import type { BuildEvent, Monitor } from '../pipeline/events.js';
import { bytes, duration } from './format.js';

/**
 * Plain lines, for CI and files: one a stage, and one for every ten seconds of a long one.
 *
 * @param say prints sentences, where they are to be printed in another way than what is copied from
 */
export function plainMonitor(print: (line: string) => void, say = print): Monitor {
  let lastProgress = performance.now();
  return {
    emit(event: BuildEvent): void {
      switch (event.type) {
        case 'plan': {
          const reused = event.stages
            .filter(({ action }) => action === 'reuse')
            .map(({ stage }) => STAGES[stage]);
          if (reused.length > 0) print(`From the cache: ${reused.join(', ')}.`);
          break;
        }
        case 'start':
          lastProgress = performance.now();
          break;
        case 'progress': {
          const now = performance.now();
          if (now - lastProgress < 10_000) break;
          lastProgress = now;
          const share =
            event.total === undefined ? '' : ` (${Math.floor((100 * event.done) / event.total)}%)`;
          print(
            `${STAGES[event.stage]}: ${event.label}${event.unit === 'percent' ? '' : `, ${event.unit === 'bytes' ? bytes(event.done) : `${event.done} ${event.unit}`}`}${share}`,
          );
          break;
        }
        case 'done':
          print(`${STAGES[event.stage]}: done in ${duration(event.seconds)}`);
          break;
        case 'failed':
          print(`${STAGES[event.stage]}: failed`);
          break;
        case 'doing':
          print(event.text);
          break;
        case 'note':
          say(event.text);
          break;
        case 'warning':
          say(`Warning: ${event.text}`);
          break;
        case 'result':
          for (const { path, sha256, bytes: size } of event.images) {
            print(`Image:  ${path} (${bytes(size)})`);
            print(`SHA256: ${sha256}`);
          }
          print(`Record: ${event.record} (in ${duration(event.seconds)})`);
      }
    },
    close: () => Promise.resolve(),
  };
}

/** One event a line, as JSON, for programs. */
export function jsonMonitor(print: (line: string) => void): Monitor {
  return {
    emit(event: BuildEvent): void {
      print(JSON.stringify(event));
    },
    close: () => Promise.resolve(),
  };
}
