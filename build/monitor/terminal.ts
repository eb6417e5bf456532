import { Listr } from 'listr2';
import type { ListrTaskWrapper } from 'listr2';
import { STAGES } from '../pipeline/events.js';
import type { BuildEvent, Monitor, PlannedStage, StageName } from '../pipeline/events.js';
import { wrap } from '../wrap.js';
import { bar, bytes, duration } from './format.js';
import { plainMonitor } from './plain.js';

interface Row {
  readonly settle: { resolve: () => void; reject: (error: Error) => void };
  readonly finished: Promise<void>;
  /** Set once listr2 has come to the row. */
  task?: ListrTaskWrapper<unknown, never, never>;
  began?: number;
  /** What it waits for, until there is progress. */
  doing?: string | undefined;
  /** Set once the stage is done. */
  seconds?: number;
  /** Set once it is known that it does not run after all. */
  needless?: boolean;
}

function settleTitle(row: Row, stage: StageName): void {
  if (row.needless === true) row.task?.skip(`${STAGES[stage]} (not needed)`);
  else if (row.task && row.seconds !== undefined)
    row.task.title = `${STAGES[stage]} (${duration(row.seconds)})`;
}

/**
 * Tasks with progress bars and rates, for a terminal. It listens to the build as the other monitors do: a task of
 * listr2 ends when the build says that its stage has.
 *
 * @param columns width of the terminal in characters
 */
export function terminalMonitor(print: (line: string) => void, columns: () => number): Monitor {
  const after = plainMonitor(print, (text) => {
    for (const line of wrap(text, columns(), 2)) print(line);
  });
  const rows = new Map<StageName, Row>();
  const later: BuildEvent[] = [];
  let shown: Promise<unknown> | undefined;
  let planned: readonly StageName[] = [];
  let running: StageName | undefined;

  const row = (stage: StageName): Row => {
    const present = rows.get(stage);
    if (present) return present;
    let settle: Row['settle'] | undefined;
    const finished = new Promise<void>((resolve, reject) => {
      settle = { resolve, reject };
    });
    finished.catch(() => undefined); // a row that listr2 never comes to
    if (!settle) throw new Error('a promise calls its executor at once');
    const made: Row = { settle, finished };
    rows.set(stage, made);
    return made;
  };

  /** The row that runs, or else the one that will next: listr2 shows it as the one that is at work. */
  const current = (): Row | undefined => {
    const next = [...(running === undefined ? [] : [running]), ...planned].find(
      (stage) => row(stage).seconds === undefined && row(stage).needless === undefined,
    );
    return next && row(next);
  };

  /** What was planned before a stage that begins, and has not begun, is there already: another build has made it. */
  const passOver = (begins: StageName): void => {
    for (const stage of planned.slice(0, Math.max(0, planned.indexOf(begins)))) {
      const { began, settle } = row(stage);
      if (began !== undefined) continue;
      row(stage).needless = true;
      settle.resolve();
    }
  };

  const show = (stages: readonly PlannedStage[]): void => {
    planned = stages.flatMap(({ stage, action }) => (action === 'run' ? [stage] : []));
    const tasks = stages.map(({ stage, action }) => ({
      title: STAGES[stage],
      skip: () => (action === 'reuse' ? `${STAGES[stage]} (from the cache)` : false),
      task: (_: unknown, task: unknown): Promise<void> => {
        const shownRow = Object.assign(row(stage), { task: task as NonNullable<Row['task']> });
        if (shownRow.doing !== undefined) shownRow.task.output = shownRow.doing;
        // A short stage may be over before listr2 comes to it.
        return shownRow.finished.then(() => {
          settleTitle(shownRow, stage);
        });
      },
    }));
    shown = new Listr(tasks, {
      concurrent: false,
      exitOnError: true,
      registerSignalListeners: false,
      rendererOptions: { collapseErrors: false, showErrorMessage: false },
    })
      .run()
      .catch(() => undefined); // the build itself reports what failed
  };

  return {
    emit(event: BuildEvent): void {
      if (event.type === 'plan') show(event.stages);
      // Some commands have no plan: what they do is told in lines.
      if (!shown) {
        after.emit(event);
        return;
      }
      switch (event.type) {
        case 'plan':
          break;
        case 'start':
          running = event.stage;
          passOver(event.stage);
          Object.assign(row(event.stage), { began: performance.now(), doing: undefined });
          break;
        case 'doing': {
          const at = current();
          if (!at) break;
          at.doing = event.text;
          if (at.task) at.task.output = event.text;
          break;
        }
        case 'progress': {
          const { task, began } = row(event.stage);
          if (!task) break;
          const rate =
            event.done / Math.max(0.001, (performance.now() - (began ?? performance.now())) / 1000);
          const amount =
            event.unit === 'percent'
              ? ''
              : event.unit === 'bytes'
                ? `${bytes(event.done)}, ${bytes(rate)}/s`
                : `${event.done} ${event.unit}, ${Math.round(rate)}/s`;
          const room = Math.max(0, Math.min(30, columns() - event.label.length - amount.length - 16));
          const share = event.total === undefined ? undefined : event.done / event.total;
          task.output = [
            event.label,
            share === undefined || room < 5
              ? ''
              : `[${bar(share, room)}] ${Math.floor(100 * Math.min(1, share))}%`,
            amount,
          ]
            .filter((part) => part !== '')
            .join('  ');
          break;
        }
        case 'done': {
          const done = Object.assign(row(event.stage), { seconds: event.seconds });
          settleTitle(done, event.stage);
          done.settle.resolve();
          break;
        }
        case 'failed':
          row(event.stage).settle.reject(new Error(`${STAGES[event.stage]} failed`));
          break;
        default:
          // Lines of their own would tear the tasks apart: they come when these are done.
          later.push(event);
      }
    },
    async close(): Promise<void> {
      for (const { settle } of rows.values()) settle.reject(new Error('the build ended'));
      await shown;
      for (const event of later) after.emit(event);
    },
  };
}
