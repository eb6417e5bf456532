import type { IsoContext } from '../commands/iso.js';

/** What commands get of the process that they run in. */
export interface Cli {
  readonly environment: NodeJS.ProcessEnv;
  /** Aborted when somebody interrupts the program. */
  readonly signal: AbortSignal;
  /** Prints a line of the result. */
  readonly print: (line: string) => void;
  /** Prints a line beside the result, for whoever watches. */
  readonly complain: (line: string) => void;
  /** Width of the terminal, or what is assumed of one that tells none. */
  readonly columns: () => number;
  /** Whether what is printed may have colours. */
  readonly colour: boolean;
  /** What builds run in; their events are printed as JSON or for a person. */
  readonly surroundings: (json: boolean) => IsoContext;
  /** Takes whether all held that a command looked at: where something did not, the program ends with 1. */
  readonly ends: (held: boolean) => void;
}
