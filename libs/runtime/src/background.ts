/**
 * Lets work run by itself: its failure goes to `failed` and nowhere else. The one way not to await a promise in the
 * server (the linter refuses `void promise` there), because a rejection that nobody takes ends a Node process.
 */
export function background(work: Promise<unknown>, failed: (error: unknown) => void): void {
  work.catch(failed);
}
