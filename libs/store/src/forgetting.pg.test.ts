import type { CommitSha, HostName, StorePath } from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Repository, Revision } from './records.ts';
import {
  commit,
  newHost,
  newRelease,
  newRepository,
  path,
  publishNext,
  quarantinesOf,
  receive,
  toBuilding,
  type World,
  WORLDS,
} from './test/test-store.ts';

describe.each(WORLDS)('a host that was forgotten and is enrolled again, on $name', ({ open }) => {
  let world: World;
  let repository: Repository;
  let host: HostName;
  let revision: Revision;
  let toplevel: StorePath;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  beforeEach(async () => {
    const { store } = world;
    repository = await newRepository(store);
    host = newHost();
    await store.hosts.enrol({ host, repositoryId: repository.id, machineId: 'm', publicKey: 'key', at: 1 });
    revision = await publishNext(store, repository, commit('1'), [host]);
    toplevel = path(`${host}-${revision.sequence}`);
    await store.revisions.saveEvaluations(revision.id, [{ host, outcome: 'CHANGED', toplevel, system: 'x86_64-linux' }]);
  });

  async function enrolAgain(): Promise<void> {
    const { hosts } = world.store;
    await hosts.revoke(host, 60);
    expect(await hosts.forget(host)).toBe(true);
    expect(await hosts.get(host)).toBeUndefined();
    await hosts.enrol({ host, repositoryId: repository.id, machineId: 'm', publicKey: 'another key', at: 70 });
  }

  test('does not get what a person quarantined on it (O35)', async () => {
    const { hosts } = world.store;
    const order = { repositoryId: repository.id, host, commit: revision.sha };
    await hosts.orderQuarantine({ ...order, by: 'ada', reason: 'its card hangs', at: 5 });
    const ordered = async () => (await hosts.fleet(repository.id, [host])).hosts[0]?.situation.ordered?.get(toplevel);
    expect(await ordered()).toMatchObject({ by: 'ada', reason: 'its card hangs' });
    await enrolAgain();
    expect(await ordered()).toMatchObject({ by: 'ada', reason: 'its card hangs' });
    expect(await hosts.liftQuarantine(order)).toBe(true);
    expect(await ordered()).toBeUndefined();
  });

  test('does not get what it rolled back, until somebody has it try again; that a person saw the failure is forgotten (O35)', async () => {
    const { hosts, rollouts } = world.store;
    await hosts.quarantine(host, toplevel, 'no network', 5);
    const { rollout } = await hosts.fleet(repository.id);
    if (rollout === undefined) throw new Error('it was published');
    const resume = { rolloutId: rollout.id, kind: 'resume', role: 'operator', by: 'ada', reason: 'seen', at: 6 } as const;
    await rollouts.order({ ...resume, acknowledged: [{ host, toplevel }] });
    const seen = async () => (await hosts.fleet(repository.id, [host])).hosts[0]?.acknowledged;
    expect(await seen()).toEqual(new Set([toplevel]));
    await enrolAgain();
    expect(await quarantinesOf(world.store, repository.id)).toMatchObject([{ host, toplevel, reason: 'no network', at: 5 }]);
    expect(await seen()).toEqual(new Set());
    await hosts.retry(host, toplevel);
    expect(await quarantinesOf(world.store, repository.id)).toEqual([]);
  });
});

const step = fc.record({
  does: fc.constantFrom('rolls back', 'retry', 'order', 'lift', 'enrol', 'revoke', 'forget', 'forget left', 'commit', 'rename', 'prune'),
  name: fc.nat(1),
  commit: fc.nat(3),
});
type Step = typeof step extends fc.Arbitrary<infer Some> ? Some : never;

/** Two names of one repository, and what does not run there by all that happened. */
class Names {
  readonly #world: World;
  readonly #repository: Repository;
  readonly names = [newHost(), newHost()] as const;
  /** What each name has a release of: each commit has one system for both. */
  readonly #commits = new Map<HostName, CommitSha[]>(this.names.map((name) => [name, []]));
  readonly #rolledBack = new Map<HostName, Set<StorePath>>(this.names.map((name) => [name, new Set()]));
  readonly #ordered = new Map<HostName, Set<StorePath>>(this.names.map((name) => [name, new Set()]));
  #newest: Revision | undefined;
  #now = 100;

  constructor(world: World, repository: Repository) {
    this.#world = world;
    this.#repository = repository;
  }

  #systemOf(sha: CommitSha): StorePath {
    return path(`${this.names[0]}-${sha}`);
  }

  async publish(hosts: readonly HostName[]): Promise<void> {
    const { store } = this.#world;
    const sha = String((this.#newest?.sequence ?? 0) + 1).padStart(40, '0') as CommitSha;
    const toplevel = this.#systemOf(sha);
    const revision = await receive(store, this.#repository, sha);
    await toBuilding(store, revision.id);
    await store.hosts.ensure(this.#repository.id, hosts);
    await store.revisions.saveEvaluations(
      revision.id,
      hosts.map((host) => ({ host, outcome: 'CHANGED', toplevel, system: 'x86_64-linux' })),
    );
    await store.releases.publish(
      revision.id,
      hosts.map((host) => newRelease(revision, host, toplevel)),
      this.#now,
    );
    for (const host of hosts) this.#commits.get(host)?.push(sha);
    this.#newest = revision;
  }

  async enrol(host: HostName): Promise<void> {
    await this.#world.store.hosts.enrol({ host, repositoryId: this.#repository.id, machineId: 'm', publicKey: `key ${this.#now}`, at: this.#now });
  }

  async take({ does, name, commit: index }: Step): Promise<void> {
    const { hosts } = this.#world.store;
    const repositoryId = this.#repository.id;
    const [host, other] = name === 0 ? this.names : ([this.names[1], this.names[0]] as const);
    const row = await hosts.get(host);
    const commits = this.#commits.get(host) ?? [];
    const sha = commits[index % Math.max(commits.length, 1)];
    this.#now += 1;
    if (does === 'enrol') await this.enrol(host);
    else if (does === 'forget') await hosts.forget(host);
    else if (does === 'forget left') await hosts.forgetLeft(repositoryId, this.#newest?.id ?? '');
    else if (does === 'commit') await this.publish([host]);
    else if (does === 'prune') await hosts.pruneQuarantines(0);
    else if (row === undefined) return;
    else if (does === 'revoke') await hosts.revoke(host, this.#now);
    else if (does === 'rename') {
      const renamed = await hosts.rename({ formerHost: host, host: other, publicKey: row.publicKey ?? '', at: this.#now });
      if (renamed === 'renamed') this.#moved(host, other);
    } else if (sha === undefined) return;
    else await this.#quarantine(does, host, sha);
  }

  async #quarantine(does: Step['does'], host: HostName, sha: CommitSha): Promise<void> {
    const { hosts } = this.#world.store;
    const toplevel = this.#systemOf(sha);
    const order = { repositoryId: this.#repository.id, host, commit: sha };
    const [rolledBack, ordered] = [this.#rolledBack.get(host), this.#ordered.get(host)];
    if (does === 'rolls back') {
      await hosts.quarantine(host, toplevel, 'no network', this.#now);
      rolledBack?.add(toplevel);
    } else if (does === 'retry') {
      await hosts.retry(host, toplevel);
      rolledBack?.delete(toplevel);
    } else if (does === 'order') {
      await hosts.orderQuarantine({ ...order, by: 'ada', reason: 'why', at: this.#now });
      ordered?.add(toplevel);
    } else if (does === 'lift') {
      await hosts.liftQuarantine(order);
      ordered?.delete(toplevel);
    }
  }

  #moved(from: HostName, to: HostName): void {
    for (const of of [this.#rolledBack, this.#ordered]) {
      for (const each of of.get(from) ?? []) of.get(to)?.add(each);
      of.set(from, new Set());
    }
    this.#commits.set(to, [...new Set([...(this.#commits.get(to) ?? []), ...(this.#commits.get(from) ?? [])])]);
    this.#commits.set(from, []);
  }

  /** Of each name that has a row. */
  async compare(after: string): Promise<void> {
    const fleet = await this.#world.store.hosts.fleet(this.#repository.id);
    for (const { row, situation, quarantines } of fleet.hosts) {
      const said = { rolledBack: new Set(quarantines.map(({ toplevel }) => toplevel)), ordered: new Set(situation.ordered?.keys()) };
      expect(said, after).toEqual({ rolledBack: this.#rolledBack.get(row.host), ordered: this.#ordered.get(row.host) });
      expect(situation.quarantined, after).toEqual(said.rolledBack);
    }
  }
}

describe.each(WORLDS)('quarantines on $name', ({ open }) => {
  test('end by nothing but that they are lifted or tried again (O35)', async () => {
    await using world = await open();
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 24 }), async (steps) => {
        const names = new Names(world, await newRepository(world.store));
        await names.publish(names.names);
        for (const each of steps) {
          await names.take(each);
          await names.compare(JSON.stringify([each, steps]));
        }
        for (const host of names.names) await names.enrol(host);
        await names.compare(JSON.stringify(steps));
      }),
      { numRuns: fc.readConfigureGlobal().numRuns ?? 10, endOnFailure: true },
    );
  });
});
