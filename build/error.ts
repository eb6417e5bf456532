/**
 * An error whose message is a sentence for the person who reads it: what was being done, to what, what was found.
 * `fix` says what to do about it. Everything else that is thrown is a defect of the program.
 */
export class UserError extends Error {
  override readonly name = 'UserError';

  constructor(
    message: string,
    readonly fix?: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** Bad input (a configuration, a command line): nothing was begun. Exit code 2. */
export class InputError extends UserError {}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** What the system says of a failure, without its code, call and path: the end of a sentence that names these. */
export function whyOf(error: unknown): string {
  return messageOf(error).replace(/^[A-Z0-9]+: ([^,]+), [a-z]+(?: '.*')?$/s, '$1');
}

/** The `code` of a Node.js system error (`ENOENT`, `ENOSPC`, …), or an empty string. */
export function codeOf(error: unknown): string {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return code ?? '';
}
