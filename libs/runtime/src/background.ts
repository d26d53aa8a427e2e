/**
 * Runs work in the background and passes its failure to `failed`. The only way not to await a promise in the server (the linter
 * refuses `void promise` there), because an unhandled rejection ends a Node process.
 */
export function background(work: Promise<unknown>, failed: (error: unknown) => void): void {
  work.catch(failed);
}
