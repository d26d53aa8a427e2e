import { HOST_NAME_FORM, type HostName } from '@floe/model';
import type { Logger } from '@floe/runtime';
import * as v from 'valibot';
import { bestEffort } from '../best-effort.ts';
import { readKept, writeKept } from './kept-file.ts';

/** What one evaluation of a host took of the repository. */
export interface Footprint {
  /** The files that were imported for it, from the root of the repository. */
  readonly imported: readonly string[];
}

/** Of all hosts together; with more, what the rest took is not known. */
const MAX_ENTRIES = 5_000_000;

const Index = v.pipe(v.number(), v.integer(), v.minValue(0));
/** Each path once: what hosts import is mostly the same. */
const FootprintsFile = v.strictObject({
  version: v.literal(1),
  paths: v.array(v.string()),
  hosts: v.array(v.strictTuple([v.pipe(v.string(), v.regex(HOST_NAME_FORM)), v.array(Index)])),
});

/**
 * Which files each host's evaluation took, kept in a file of the builder. It decides in which order hosts are evaluated, and nothing else: what is lost
 * comes back with the next evaluations.
 */
export class Footprints {
  readonly #file: string;
  readonly #logger: Logger;
  readonly #paths: string[] = [];
  readonly #indexes = new Map<string, number>();
  readonly #hosts = new Map<HostName, Uint32Array>();
  #entries = 0;
  #isSaved = true;

  private constructor(file: string, logger: Logger) {
    this.#file = file;
    this.#logger = logger;
  }

  /** One that cannot be read is begun again. */
  static async open(file: string, logger: Logger): Promise<Footprints> {
    const footprints = new Footprints(file, logger);
    const { paths, hosts } = (await readKept(file, FootprintsFile, logger)) ?? { paths: [], hosts: [] };
    for (const [host, indexes] of hosts) footprints.note(host as HostName, { imported: indexes.flatMap((index) => paths[index] ?? []) });
    footprints.#isSaved = true;
    return footprints;
  }

  /** What the newest evaluation of a host took. */
  note(host: HostName, { imported }: Footprint): void {
    const before = this.#hosts.get(host);
    const indexes = Uint32Array.from(new Set(imported.map((path) => this.#indexOf(path)))).toSorted();
    if (before !== undefined && before.length === indexes.length && before.every((index, at) => index === indexes[at])) return;
    const entries = this.#entries - (before?.length ?? 0) + indexes.length;
    if (entries > MAX_ENTRIES) return this.#forget(host);
    this.#hosts.set(host, indexes);
    this.#entries = entries;
    this.#isSaved = false;
  }

  /** Those that are not of the fleet any more are forgotten. */
  keepOnly(hosts: readonly HostName[]): void {
    const kept = new Set(hosts);
    for (const host of this.#hosts.keys()) if (!kept.has(host)) this.#forget(host);
  }

  /**
   * The hosts that took one of these files, between 0 and 1: the fewer hosts took the same one, the more a change of it is about each of them. A host
   * of which nothing is known is not among them.
   */
  nearness(paths: readonly string[]): ReadonlyMap<HostName, number> {
    const changed = new Set(paths.flatMap((path) => this.#indexes.get(path) ?? []));
    const takers = new Map<number, HostName[]>();
    if (changed.size > 0) for (const [host, indexes] of this.#hosts) for (const index of indexes) if (changed.has(index)) push(takers, index, host);
    const nearness = new Map<HostName, number>();
    for (const hosts of takers.values()) for (const host of hosts) nearness.set(host, Math.max(nearness.get(host) ?? 0, 1 / hosts.length));
    return nearness;
  }

  /** Writes what is new. Without it, only the order of later evaluations is worse. */
  async save(): Promise<void> {
    if (this.#isSaved) return;
    await bestEffort(this.#logger, 'keeping the footprints of evaluations', undefined, async () => {
      this.#isSaved = true;
      this.#dropUnused();
      const hosts = [...this.#hosts].map(([host, indexes]) => [host, [...indexes]]);
      try {
        await writeKept(this.#file, { version: 1, paths: this.#paths, hosts });
      } catch (error) {
        this.#isSaved = false;
        throw error;
      }
    });
  }

  #indexOf(path: string): number {
    const known = this.#indexes.get(path);
    if (known !== undefined) return known;
    this.#indexes.set(path, this.#paths.length);
    return this.#paths.push(path) - 1;
  }

  #forget(host: HostName): void {
    this.#entries -= this.#hosts.get(host)?.length ?? 0;
    if (this.#hosts.delete(host)) this.#isSaved = false;
  }

  /** Paths that no host takes any more would pile up. */
  #dropUnused(): void {
    const used = new Set<number>();
    for (const indexes of this.#hosts.values()) for (const index of indexes) used.add(index);
    if (used.size === this.#paths.length) return;
    const hosts = [...this.#hosts].map(([host, indexes]) => [host, [...indexes].map((index) => this.#paths[index] ?? '')] as const);
    this.#paths.length = 0;
    this.#indexes.clear();
    for (const [host, paths] of hosts) this.#hosts.set(host, Uint32Array.from(paths.map((path) => this.#indexOf(path))).toSorted());
  }
}

function push(takers: Map<number, HostName[]>, index: number, host: HostName): void {
  const hosts = takers.get(index);
  if (hosts === undefined) takers.set(index, [host]);
  else hosts.push(host);
}
