import { STORE_PATH_FORM } from '@floe/model';
import { ACTIVITY, RESULT, type LogEvent } from './internal-json.ts';

/** Nix counts received data in whole buffers. */
const SLACK_BYTES = 64 * 1024;

/** A source that sends more than was signed. */
export interface Excess {
  readonly path: string;
  /** The name that Nix uses for it. */
  readonly source: string;
  readonly limitBytes: number;
}

interface Copy {
  readonly path: string;
  readonly source: string;
}

/**
 * Watches how much Nix writes during a download. Nix compares an archive with its signed hash and size only when the whole
 * archive is on the disk, so a small archive of many zeros could fill the disk first.
 */
export class CopyWatch {
  readonly #maxBytes: number | undefined;
  readonly #onExcess: (excess: Excess) => void;
  readonly #copies = new Map<number, Copy>();
  readonly #written = new Map<string, number>();

  /** `maxBytes`: of all paths together. Each path is also limited to its own signed size. */
  constructor(maxBytes: number | undefined, onExcess: (excess: Excess) => void) {
    this.#maxBytes = maxBytes;
    this.#onExcess = onExcess;
  }

  /** All paths of which anything was written. */
  get begun(): readonly string[] {
    return [...this.#written.keys()];
  }

  take(event: LogEvent): void {
    if (event.action === 'start' && event.type === ACTIVITY.copyPath) {
      const [path, source] = event.fields.map(String);
      if (path === undefined || !STORE_PATH_FORM.test(path)) return;
      this.#copies.set(event.id, { path, source: source ?? '' });
      this.#written.set(path, 0);
    } else if (event.action === 'result' && event.type === RESULT.progress) {
      this.#progress(event.id, event.fields);
    }
  }

  #progress(id: number, [done, expected]: readonly (string | number)[]): void {
    const copy = this.#copies.get(id);
    if (copy === undefined || typeof done !== 'number') return;
    // A path that is sent again, by another cache, replaces the first try.
    this.#written.set(copy.path, done);
    if (typeof expected === 'number' && expected > 0 && done > expected + SLACK_BYTES) this.#onExcess({ ...copy, limitBytes: expected });
    else if (this.#maxBytes !== undefined && this.#total() > this.#maxBytes + SLACK_BYTES) this.#onExcess({ ...copy, limitBytes: this.#maxBytes });
  }

  #total(): number {
    return this.#written.values().reduce((sum, bytes) => sum + bytes, 0);
  }
}
