import { join } from 'node:path';
import { silentLogger, type Clock } from '@floe/runtime';
import { openStore, type NewRelease, type Repository, type Store, type StoreTarget } from '@floe/store';
import { evaluate, type Commit } from './commit.ts';
import { shaOf, type FleetStore, type FleetStoreOptions } from './fleet-store.ts';

const ROOT = join(import.meta.dirname, '../..');

/** The real store, on a real database. Its times are those that it is given: the clock is virtual. */
export class DatabaseStore implements FleetStore {
  readonly store: Store;
  readonly #repository: Repository;
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

  /** As the pipeline does, from the fetch to the releases. */
  async publish(commit: Commit, at: number): Promise<void> {
    const { revisions, releases, hosts } = this.store;
    this.#count += 1;
    const sha = shaOf(this.#count);
    const about = { subject: `Commit ${this.#count}`, authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: at };
    const { id, sequence } = await revisions.receive(this.repositoryId, { sha, ...about, receivedAt: at, fetchedAt: at });
    await revisions.advance(id, 'accepted', at);
    await revisions.advance(id, 'verified', at);
    await revisions.savePolicy(id, commit.policy);
    await hosts.ensure(
      this.repositoryId,
      commit.hosts.map(({ host }) => host),
    );
    const last = new Map((await releases.latest(this.repositoryId)).map(({ host, toplevel }) => [host, toplevel]));
    await revisions.saveEvaluations(id, evaluate(commit, last));
    await revisions.advance(id, 'evaluated', at);
    const signed = [...commit.changed].map(([host, toplevel]): NewRelease => ({
      host,
      sequence,
      toplevel,
      commit: sha,
      issuedAt: at,
      envelope: '{}',
    }));
    await releases.publish(id, signed, at);
    await hosts.forgetLeft(this.repositoryId, id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
  }
}
