/** The stages of a build, in order, and those of a lock. */
export const STAGES = {
  overlay: 'Overlay',
  release: 'Release sets',
  rootfs: 'Root file system',
  ufs: 'UFS image',
  compress: 'Compressed root',
  base: 'Base image',
  disk: 'Base disk',
  stamp: 'Image',
  'base-lock': 'Base packages',
  catalogue: 'Catalogue',
  packages: 'Packages',
} as const;

export type StageName = keyof typeof STAGES;

/** What a build tells those who listen: the terminal, a log, a program. */
export type BuildEvent =
  | { readonly type: 'plan'; readonly stages: readonly PlannedStage[] }
  | { readonly type: 'start'; readonly stage: StageName }
  | {
      readonly type: 'progress';
      readonly stage: StageName;
      readonly label: string;
      readonly done: number;
      readonly total?: number;
      readonly unit: 'bytes' | 'files' | 'deployments' | 'images' | 'percent';
    }
  | { readonly type: 'done'; readonly stage: StageName; readonly seconds: number }
  | { readonly type: 'failed'; readonly stage: StageName }
  /** What is being waited for from now on, within the stage that runs. */
  | { readonly type: 'doing'; readonly text: string }
  | { readonly type: 'note'; readonly text: string }
  | { readonly type: 'warning'; readonly text: string }
  | {
      readonly type: 'result';
      readonly images: readonly { readonly path: string; readonly sha256: string; readonly bytes: number }[];
      readonly record: string;
      readonly seconds: number;
    };

/** A stage of a plan: carried out, or its result taken from the cache. */
export interface PlannedStage {
  readonly stage: StageName;
  readonly action: 'run' | 'reuse';
}

/** Somebody who listens to a build; never its driver. */
export interface Monitor {
  emit(event: BuildEvent): void;
  /** Called once, after the last event, whether the build succeeded or not. */
  close(): Promise<void>;
}
