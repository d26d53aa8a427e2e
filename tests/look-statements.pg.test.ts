import { defaultGates, DEFAULT_POLICY, type HostName, type RolloutPolicy } from '@floe/model';
import { releaserOf } from '@floe/pipeline';
import { seal } from '@floe/protocol';
import { generateKeyPem, signerFromPem, silentLogger, systemClock, Troubles } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RolloutEngine } from '../apps/server/src/rollouts/engine.ts';
import { Steering } from '../apps/server/src/steering.ts';
import { COUNTED_DATABASES, type CountedDatabase } from '../libs/store/src/test/counted-database.ts';
import { storesOn, type StoresOn } from '../libs/store/src/test/stores-on.ts';
import { commit, newRelease, path, receive, report, toBuilding } from '../libs/store/src/test/test-store.ts';

// A whole look of the server at a fleet, from the database to the directives: the number of its statements is known, and does not grow with the
// fleet.

const signer = signerFromPem('release-1', generateKeyPem());
const CANARIES = 10;

/**
 * The statements of a look at which the rollout begins, nothing has happened, hosts have reported, the next ring opens with the directives to its
 * hosts, and the rollout completes. A hint that a statement sends with what it writes is none of its own; begin and commit are not counted.
 */
const LOOKS = { begins: 10, quiet: 3, reported: 3, opens: 9, completes: 10 };

/** The first hosts by name, and all others. */
const POLICY: RolloutPolicy = {
  ...DEFAULT_POLICY,
  rings: ['canaries', 'all'].map((name, index) => ({
    ...defaultGates(index, 2),
    name,
    members: { hosts: index === 0 ? Array.from({ length: CANARIES }, (_, at) => `host${at}`) : [], labels: [], share: undefined },
    minVerified: index === 0 ? CANARIES : 0,
    soakMs: 0,
    maxInFlight: undefined,
    windows: [],
    approvals: undefined,
    probes: [],
    pauseAfter: false,
  })),
};

/** A fleet with everybody connected, and the server's loop over it. */
async function fleetOf(count: number, database: CountedDatabase, store: StoresOn) {
  let now = 1_000_000;
  const clock = Object.assign(Object.create(systemClock) as typeof systemClock, { now: () => now, latest: () => now });
  const { id: repositoryId } = await store.repositories.ensure({ url: `https://forge.example/fleet${count}.git`, branch: 'main', now: 1 });
  const hosts = Array.from({ length: count }, (_, index) => `host${index}` as HostName);
  await store.hosts.ensure(repositoryId, hosts);
  await database.db.execute(
    `update hosts set public_key = host, machine_id = host, enrolled_at = 1, is_connected = true, session_id = 'server/1', last_seen_at = ${now}`,
  );
  const decide = async (): Promise<never> => await Promise.reject(new Error('no commit waits for its turn'));
  const told = new Map<string, number>();
  let directives = 0;
  const session = (host: HostName) =>
    ({
      host,
      calledAs: host,
      machineId: host,
      nonce: 'nonce',
      capabilities: new Set(),
      isOpen: true,
      offered: (epoch: number) => (told.get(host) === epoch ? 'yes' : 'no'),
      offer: (epoch: number) => {
        directives += 1;
        return told.set(host, epoch).has(host);
      },
    }) as never;
  const engine = new RolloutEngine({ store: { ...store, decide }, forge: 'github', clock, logger: silentLogger });
  const look = async (): Promise<void> => {
    const stopping = new AbortController();
    const steering: Steering = new Steering(
      {
        store: { ...store, decide },
        hub: { session },
        clock,
        logger: silentLogger,
        serverSigner: signer,
        releaser: releaserOf(signer),
        rollouts: engine,
        troubles: new Troubles({ clock, logger: silentLogger }),
        repositoryId,
      },
      () => stopping.abort(),
    );
    await steering.run(stopping.signal);
  };
  let pushed = 0;
  return {
    hosts,
    /** How many were sent so far. */
    directives: () => directives,
    async publish() {
      pushed += 1;
      const repository = await store.repositories.get(repositoryId);
      const revision = await receive(store, repository, commit(`${pushed}`.padStart(20, `${count}`)));
      await toBuilding(store, revision.id);
      await store.revisions.savePolicy(revision.id, POLICY);
      await store.revisions.saveEvaluations(
        revision.id,
        hosts.map((host) => ({ host, labels: [], outcome: 'CHANGED' as const, toplevel: path(`${host}-${pushed}`) })),
      );
      const released = hosts.map((host) => {
        const release = newRelease(revision, host, path(`${host}-${pushed}`));
        return { ...release, envelope: JSON.stringify(seal(signer, 'floe/release', { host, toplevel: release.toplevel })) };
      });
      await store.releases.publish(revision.id, released, now);
    },
    async verify(some: readonly HostName[]) {
      now += 1_000;
      const rows = new Map((await store.hosts.list(repositoryId)).map((row) => [row.host, row]));
      await store.reports.store(
        some.map((host) => {
          const toplevel = path(`${host}-${pushed}`);
          const observed = { current: toplevel, booted: toplevel, profile: { generation: pushed, toplevel } };
          const { epoch = 1 } = rows.get(host) ?? {};
          return report(host, now, { epoch, state: 'SUCCEEDED', toplevel, observed, at: now, receivedAt: now });
        }),
      );
    },
    // Not from the fleet that looks keep: the next look would have nothing left to read.
    state: async () => (await store.hosts.fleet(repositoryId, hosts.slice(0, 1))).rollout?.state,
    statements: async (): Promise<number> => await database.statements(look),
  };
}

describe.each(COUNTED_DATABASES)('a whole look of the server, on $name', (kind) => {
  let database: CountedDatabase;
  beforeAll(async () => {
    database = await kind.open();
    await database.backUp();
  });
  afterAll(async () => await database[Symbol.asyncDispose]());

  test.each([300, 1_000])('asks as many statements of %i hosts as of any other number', async (count) => {
    await database.restore();
    const fleet = await fleetOf(count, database, storesOn(database.db, { ...systemClock, now: () => 1_000_000 }));
    for (const commitOf of ['first', 'second']) {
      const looks: Partial<Record<keyof typeof LOOKS, number>> = {};
      await fleet.publish();
      looks.begins = await fleet.statements();
      looks.quiet = await fleet.statements();
      await fleet.verify(fleet.hosts.slice(0, CANARIES - 1));
      looks.reported = await fleet.statements();
      await fleet.verify(fleet.hosts.slice(CANARIES - 1, CANARIES));
      const before = fleet.directives();
      looks.opens = await fleet.statements();
      expect(fleet.directives() - before).toBe(count - CANARIES);
      await fleet.verify(fleet.hosts);
      expect(await fleet.state()).toBe('ROLLING');
      looks.completes = await fleet.statements();
      expect(await fleet.state()).toBe('COMPLETE');
      // The second commit is compared with the first, whose hosts are read for that.
      expect(looks, `the ${commitOf} commit`).toEqual(commitOf === 'first' ? { ...LOOKS, begins: LOOKS.begins - 1 } : LOOKS);
    }
  });
});
