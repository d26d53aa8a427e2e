import { STORE_PATH_FORM } from '@floe/model';
import { ACTIVITY, RESULT, type LogEvent } from './internal-json.ts';

/** Of what is sent, Nix counts whole buffers. */
const SLACK_BYTES = 64 * 1024;

/** A source that sends more than was signed. */
export interface Excess {
  readonly path: string;
  /** As Nix names it. */
  readonly source: string;
  readonly limitBytes: number;
}

interface Copy {
  readonly path: string;
  readonly source: string;
}

/**
 * Watches what Nix writes while it downloads. It compares an archive with its signed hash and size once it is on the disk as
 * a whole, which a small archive of many zeros fills first.
 */
export class CopyWatch {
  readonly #maxBytes: number | undefined;
  readonly #onExcess: (excess: Excess) => void;
  readonly #copies = new Map<number, Copy>();
  readonly #written = new Map<string, number>();

  /** `maxBytes`: of all paths together; each is also held to its own signed size. */
  constructor(maxBytes: number | undefined, onExcess: (excess: Excess) => void) {
    this.#maxBytes = maxBytes;
    this.#onExcess = onExcess;
  }

  /** All paths of which something was written. */
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
    // A path that comes once more, from another cache, takes the place of the first try.
    this.#written.set(copy.path, done);
    if (typeof expected === 'number' && expected > 0 && done > expected + SLACK_BYTES) this.#onExcess({ ...copy, limitBytes: expected });
    else if (this.#maxBytes !== undefined && this.#total() > this.#maxBytes + SLACK_BYTES) this.#onExcess({ ...copy, limitBytes: this.#maxBytes });
  }

  #total(): number {
    return this.#written.values().reduce((sum, bytes) => sum + bytes, 0);
  }
}
