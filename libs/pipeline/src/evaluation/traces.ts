import { HOST_NAME_FORM, STORE_PATH_FORM, type CommitSha, type HostName, type Look, type StorePath } from '@floe/model';
import type { HostAnswer } from '@floe/nix';
import type { Logger } from '@floe/runtime';
import * as v from 'valibot';
import { bestEffort } from '../best-effort.ts';
import { readKept, writeKept } from './kept-file.ts';

/** What a host evaluated to, and all that this took of the repository. */
export interface HostTraced {
  /** The commit whose files it had, or a later one that changed none of them. */
  readonly sha: CommitSha;
  /** By which settings it was evaluated. */
  readonly settings: string;
  readonly answer: Omit<HostAnswer, 'kind'>;
  /** Another commit gives it another system, though it has what it took. */
  readonly usesSelf: boolean;
  readonly looks: ReadonlySet<Look>;
  /** It was not evaluated at `sha`, and nobody looked since whether that was right. */
  readonly isCarried: boolean;
  /** When somebody looked last, in ms since 1970; 0: never. */
  readonly auditedAt: number;
}

function textOf<Name extends string>(form: RegExp) {
  return v.custom<Name>((value) => typeof value === 'string' && form.test(value));
}
const Host = textOf<HostName>(HOST_NAME_FORM);
const optionalText = v.optional(v.string());
const Traced = v.strictObject({
  host: Host,
  sha: textOf<CommitSha>(/^[0-9a-f]{40}$/),
  settings: v.string(),
  answer: v.strictObject({
    drvPath: v.string(),
    toplevel: textOf<StorePath>(STORE_PATH_FORM),
    system: v.string(),
    labels: v.array(v.string()),
    ring: optionalText,
    formerHost: v.optional(Host),
    timeZone: optionalText,
  }),
  usesSelf: v.boolean(),
  looks: v.array(v.pipe(v.number(), v.integer(), v.minValue(0))),
  isCarried: v.boolean(),
  auditedAt: v.number(),
});
const TracesFile = v.strictObject({
  version: v.literal(1),
  /** Why nothing is carried over any more. */
  off: optionalText,
  /** Each once: hosts look at mostly the same. */
  looks: v.array(textOf<Look>(/^(?:read|kind|list) ./s)),
  hosts: v.array(Traced),
});

/** The traces of the fleet's hosts, kept in a file of the builder. What is lost is recorded again. */
export class Traces {
  readonly #file: string;
  readonly #logger: Logger;
  readonly #hosts = new Map<HostName, HostTraced>();
  #off: string | undefined;

  private constructor(file: string, logger: Logger) {
    this.#file = file;
    this.#logger = logger;
  }

  /** One that cannot be read is begun again. */
  static async open(file: string, logger: Logger): Promise<Traces> {
    const traces = new Traces(file, logger);
    const kept = await readKept(file, TracesFile, logger);
    if (kept === undefined) return traces;
    const { looks: all, hosts, off } = kept;
    traces.#off = off;
    for (const { host, looks: indexes, answer, ...traced } of hosts) {
      const looks = indexes.flatMap((index) => all[index] ?? []);
      // With one missing it would be taken for less than it is.
      if (looks.length !== indexes.length) continue;
      const { ring, formerHost, timeZone, ...own } = answer;
      traces.set(host, { ...traced, answer: { ...own, ring, formerHost, timeZone }, looks: new Set(looks) });
    }
    return traces;
  }

  get(host: HostName): HostTraced | undefined {
    return this.#hosts.get(host);
  }

  set(host: HostName, traced: HostTraced): void {
    this.#hosts.set(host, traced);
  }

  forget(host: HostName): void {
    this.#hosts.delete(host);
  }

  /** Those that are not of the fleet any more are forgotten. */
  keepOnly(hosts: readonly HostName[]): void {
    const kept = new Set(hosts);
    for (const host of this.#hosts.keys()) if (!kept.has(host)) this.#hosts.delete(host);
  }

  /** Why nothing is carried over any more. */
  get off(): string | undefined {
    return this.#off;
  }

  /** Until the setting is taken away. */
  switchOff(why: string): void {
    this.#off = why;
  }

  /** Without it a builder that starts again knows less. */
  async save(): Promise<void> {
    await bestEffort(this.#logger, 'keeping the traces of evaluations', undefined, async () => await writeKept(this.#file, this.#content()));
  }

  #content(): object {
    const indexes = new Map<Look, number>();
    const indexOf = (look: Look): number => {
      const index = indexes.get(look) ?? indexes.size;
      indexes.set(look, index);
      return index;
    };
    const hosts = [...this.#hosts].map(([host, { looks, ...traced }]) => ({ host, ...traced, looks: [...looks].map(indexOf) }));
    return { version: 1, off: this.#off, looks: [...indexes.keys()], hosts };
  }
}
