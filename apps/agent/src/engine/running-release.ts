import type { AgentJournal, HostName } from '@floe/model';
import { writeFileDurably, writePublicFile, type Clock, type Logger } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import { knownReleasesText, readKnownReleases, releaseOf, withToldReleases, type KnownRelease } from '../state/known-releases.ts';
import { runningJson, runningMetrics, runningOf, type Running } from '../state/running-text.ts';

const LOOK_EVERY_MS = 5_000;

export interface RunningReleaseDeps {
  readonly host: HostName;
  readonly machine: Pick<Machine, 'observe'>;
  /** The agent's own memory of releases; undefined: it keeps none. */
  readonly knownFile: string | undefined;
  /** For programs of the machine; undefined: there is none. */
  readonly runningFile: string | undefined;
  /** For a collector of metrics; undefined: there is none. */
  readonly metricsFile: string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Knows the commit of what runs, also after a rollback or a switch by hand to something older, and says so in files: so nobody needs the commit
 * in the system. It is beside the state machine: a file that cannot be written stops nothing.
 */
export class RunningRelease {
  readonly #deps: RunningReleaseDeps;
  #known: readonly KnownRelease[] | undefined;
  /** What was written last, by path. */
  readonly #written = new Map<string, string>();
  readonly #failed = new Set<string>();
  #looking: Promise<unknown> = Promise.resolve();

  constructor(deps: RunningReleaseDeps) {
    this.#deps = deps;
  }

  /** Looks at once, and every few seconds until `signal` aborts. */
  async run(journal: () => AgentJournal, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#lookIfItCan(journal());
      await this.#deps.clock.sleep(LOOK_EVERY_MS, signal);
    }
  }

  /** What runs now. Writes the files that say something else. One look after another, so that the last one counts. */
  async look(journal: AgentJournal): Promise<Running | null> {
    const looked = this.#looking.then(async () => await this.#look(journal));
    this.#looking = looked.catch(() => undefined);
    return await looked;
  }

  /** Returns when nothing is being written. */
  async settled(): Promise<void> {
    await this.#looking;
  }

  /** Beside what the agent does: what it cannot see now, the next look sees. */
  async #lookIfItCan(journal: AgentJournal): Promise<void> {
    await this.look(journal).catch((error: unknown) => this.#deps.logger.debug('what runs on this machine cannot be read', { error }));
  }

  /** The same after a step, without waiting for it. */
  stepped(journal: AgentJournal): void {
    void this.#lookIfItCan(journal);
  }

  async #look(journal: AgentJournal): Promise<Running | null> {
    const { host, machine, knownFile, runningFile, metricsFile } = this.#deps;
    const { current } = await machine.observe();
    const before = this.#known ?? (knownFile === undefined ? [] : await readKnownReleases(knownFile).catch(() => []));
    this.#known = withToldReleases(before, journal, current);
    if (this.#known.length > 0) await this.#write(knownFile, knownReleasesText(this.#known), writeFileDurably);
    const running = runningOf(current, releaseOf(this.#known, current));
    await this.#write(runningFile, runningJson(host, running), writePublicFile);
    await this.#write(metricsFile, runningMetrics(host, running), writePublicFile);
    return running;
  }

  async #write(path: string | undefined, text: string, write: (path: string, text: string) => Promise<void>): Promise<void> {
    if (path === undefined || this.#written.get(path) === text) return;
    try {
      await write(path, text);
      this.#written.set(path, text);
      this.#failed.delete(path);
    } catch (error) {
      // Tried again with each look; said once.
      if (!this.#failed.has(path)) this.#deps.logger.warn('what runs on this machine cannot be written to its file', { path, error });
      this.#failed.add(path);
    }
  }
}
