/** A line about an error that no planned fault explains. */
export interface Complaint {
  readonly who: string;
  readonly line: string;
}

/** Errors that the faults cause, with the reason why each is expected. */
const EXPECTED: readonly (readonly [RegExp, string])[] = [
  [/"code":"HEALTH_CHECK_FAILED".*the check \\"never\\"/, 'what is pushed to be unhealthy is rolled back, and the machine says so'],
  [/"message":"the server refuses this agent.*"closeCode":4\d\d\d,"code":"REPLACED/, 'an agent that was killed and is back replaces itself'],
];

/** Reads the log of every process: for the points at which it is to be killed, and for unexpected errors. */
export class LogWatch {
  #complaints: Complaint[] = [];
  readonly #waiting = new Set<{ readonly who: string; readonly text: string; readonly found: () => void }>();

  take(who: string, line: string): void {
    for (const each of this.#waiting) if (each.who === who && line.includes(each.text)) each.found();
    if (isComplaint(line)) this.#complaints.push({ who, line: line.slice(0, 1_000) });
  }

  /** The unexpected errors since the last call. */
  complaints(): readonly Complaint[] {
    const found = this.#complaints;
    this.#complaints = [];
    return found;
  }

  /** Resolves to true when `who` logs a line with `text`, to false when `signal` aborts before. */
  async says(who: string, text: string, signal: AbortSignal): Promise<boolean> {
    return await new Promise((resolve) => {
      const end = (isFound: boolean): void => {
        this.#waiting.delete(each);
        signal.removeEventListener('abort', onAbort);
        resolve(isFound);
      };
      const each = { who, text, found: () => end(true) };
      const onAbort = (): void => end(false);
      this.#waiting.add(each);
      signal.addEventListener('abort', onAbort);
      if (signal.aborted) onAbort();
    });
  }
}

function isComplaint(line: string): boolean {
  if (EXPECTED.some(([form]) => form.test(line))) return false;
  // Every line is JSON except Node's own: warnings, and the trace of a crash.
  if (!line.startsWith('{')) return line.trim() !== '';
  return line.includes('"level":"error"');
}
