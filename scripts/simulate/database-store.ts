import { join } from 'node:path';
import type { HostName, RolloutPolicy, StorePath } from '@floe/model';
import { silentLogger, type Clock } from '@floe/runtime';
import { openStore, type EvaluationRow, type NewRelease, type Repository, type Store, type StoreTarget } from '@floe/store';
import { shaOf, type FleetStore, type FleetStoreOptions, type NewHost } from './fleet-store.ts';

const ROOT = join(import.meta.dirname, '../..');
const SYSTEM = 'x86_64-linux';

/** The real store, on a real database. Its times are those that it is given: the clock is virtual. */
export class DatabaseStore implements FleetStore {
  readonly store: Store;
  readonly #repository: Repository;
  readonly #hosts = new Map<HostName, { readonly labels: readonly string[]; readonly timeZone: string; toplevel: StorePath | undefined }>();
  #count = 0;

  private constructor(store: Store, repository: Repository) {
    this.store = store;
    this.#repository = repository;
  }

  static async open(target: StoreTarget, options: FleetStoreOptions): Promise<DatabaseStore> {
    const { now } = options;
    const clock: Clock = { now, monotonic: now, sinceBoot: now, sleep: async () => await Promise.resolve() };
    const store = await openStore(target, { clock, logger: silentLogger, migrationsDir: join(ROOT, 'migrations') });
    const repository = await store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: now() });
    return new DatabaseStore(store, repository);
  }

  get repositoryId(): string {
    return this.#repository.id;
  }

  async enrol(hosts: readonly NewHost[], at: number): Promise<void> {
    await this.store.hosts.ensure(
      this.repositoryId,
      hosts.map(({ host }) => host),
    );
    for (const { host, labels, timeZone } of hosts) {
      await this.store.hosts.enrol({ host, repositoryId: this.repositoryId, machineId: host, publicKey: `key of ${host}`, at });
      this.#hosts.set(host, { labels, timeZone, toplevel: undefined });
    }
  }

  /** As the pipeline does, from the fetch to the releases. */
  async publish(changed: ReadonlyMap<HostName, StorePath>, policy: RolloutPolicy, at: number): Promise<void> {
    const { revisions, releases } = this.store;
    this.#count += 1;
    const sha = shaOf(this.#count);
    const about = { subject: `Commit ${this.#count}`, authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: at };
    const { id, sequence } = await revisions.receive(this.repositoryId, { sha, ...about, receivedAt: at, fetchedAt: at });
    await revisions.advance(id, 'accepted', at);
    await revisions.advance(id, 'verified', at);
    await revisions.savePolicy(id, policy);
    const rows = [...this.#hosts].map(([host, known]): EvaluationRow => {
      const toplevel = changed.get(host);
      if (toplevel === undefined)
        return { host, outcome: 'UNCHANGED', toplevel: known.toplevel, system: SYSTEM, labels: known.labels, timeZone: known.timeZone };
      const outcome = known.toplevel === undefined ? 'NEW' : 'CHANGED';
      known.toplevel = toplevel;
      return { host, outcome, toplevel, system: SYSTEM, labels: known.labels, timeZone: known.timeZone };
    });
    await revisions.saveEvaluations(id, rows);
    await revisions.advance(id, 'evaluated', at);
    const signed = [...changed].map(([host, toplevel]): NewRelease => ({ host, sequence, toplevel, commit: sha, issuedAt: at, envelope: '{}' }));
    await releases.publish(id, signed, at);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }
}
