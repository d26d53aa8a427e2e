import type { HostName, StorePath } from '@floe/model';
import type { TrustedKey } from '@floe/protocol';
import type { StatementLog } from '../statements/statement-log.ts';

/** The newest release of a host that this builder wrote into its log as stable. */
interface Recorded {
  readonly repository: string;
  readonly ref: string;
  readonly sequence: number;
  readonly toplevel: StorePath;
}

export interface RecordedStableDeps {
  readonly statements: Pick<StatementLog, 'readStable'>;
  readonly releaseKeys: readonly TrustedKey[];
  /** What was released last, by the builder's own log. */
  readonly newestReleased: () => Promise<{ readonly sequence: number } | undefined>;
}

/**
 * What the builder's own log calls stable, of each host the highest sequence that it ever had there. So whoever owns the database, which says
 * what becomes stable, can bring in newer ones and never an older one again.
 */
export class RecordedStable {
  readonly #deps: RecordedStableDeps;
  readonly #byHost = new Map<HostName, Recorded>();
  #read = 0;
  #reading: Promise<unknown> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(deps: RecordedStableDeps) {
    this.#deps = deps;
  }

  /** Of these names of one host, the newest. */
  async newestOf(names: readonly HostName[]): Promise<Recorded | undefined> {
    await this.#readAgain();
    return names.flatMap((name) => this.#byHost.get(name) ?? []).toSorted((one, other) => other.sequence - one.sequence)[0];
  }

  /** One reading at a time. Each caller waits for one that begins after its call: an earlier one may have passed over what was written since. */
  async #readAgain(): Promise<void> {
    if (this.#next === undefined) {
      this.#next = this.#reading.then(async () => {
        this.#next = undefined;
        await this.#readNew();
      });
      this.#reading = this.#next.catch(() => undefined);
    }
    await this.#next;
  }

  async #readNew(): Promise<void> {
    const { statements, releaseKeys, newestReleased } = this.#deps;
    // The last number again: two builders may have used it.
    const { statements: read } = await statements.readStable(Math.max(0, this.#read - 1), releaseKeys);
    if (read.length === 0) return;
    // A sequence that nothing has been released with yet would shut the host out for as long.
    const highest = (await newestReleased())?.sequence ?? 0;
    for (const { number, repository, ref, hosts } of read) {
      this.#read = Math.max(this.#read, number);
      for (const { host, sequence, toplevel } of hosts)
        if (sequence <= highest && sequence > (this.#byHost.get(host)?.sequence ?? -1))
          this.#byHost.set(host, { repository, ref, sequence, toplevel });
    }
  }
}
