import { join } from 'node:path';
import { defaultGates, DEFAULT_POLICY, type CommitSha, type HostName, type RingPolicy, type RolloutPolicy, type StorePath } from '@floe/model';
import { silentLogger, systemClock } from '@floe/runtime';
import { openStore, type Store } from '@floe/store';
import { startPostgres } from '@floe/testkit';
import postgres from 'postgres';
import { RolloutEngine } from '../apps/server/src/rollouts/engine.ts';
import { median, type Figure, type Progress } from './measure.ts';

/** Steering looks about this often. */
const LOOK_SECONDS = 15;

/** A look at all hosts in the middle of a rollout, from the database to the decisions: the rollout's, and what each host should run. */
export async function benchTick(count: number, looks: number, progress: Progress): Promise<Figure[]> {
  await using opening = new AsyncDisposableStack();
  const { url } = opening.use(await startPostgres());
  const migrationsDir = join(import.meta.dirname, '../migrations');
  let ahead = 0;
  const clock = { ...systemClock, now: () => systemClock.now() + ahead };
  const store = opening.use(await openStore({ kind: 'postgres', url }, { clock, logger: silentLogger, migrationsDir }));
  const { id: repositoryId } = await store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: 1 });
  const hosts = Array.from({ length: count }, (_, index) => `host${index}` as HostName);
  await store.hosts.ensure(repositoryId, hosts);
  for (const host of hosts) await store.hosts.enrol({ host, repositoryId, machineId: host, publicKey: `key of ${host}`, at: 1 });
  const engine = new RolloutEngine({ store, forge: 'github', clock, logger: silentLogger });
  const look = async (): Promise<void> => {
    const { fleet } = await engine.tick(await store.hosts.fleet(repositoryId));
    const news = fleet.hosts.flatMap(({ row, desired }) =>
      desired.kind === 'release' && row.desired?.releaseId !== desired.release.id ? [desired.release] : [],
    );
    await store.hosts.desire(news, clock.now());
  };
  for (const commit of [1, 2]) {
    await publish(store, repositoryId, hosts, commit);
    await look();
    await report(store, repositoryId, commit === 1 ? hosts : hosts.slice(0, count / 100), commit);
    await look();
  }
  progress(`${count} hosts are in the middle of a rollout`);
  const address = new URL(url);
  const bare = postgres({ host: address.searchParams.get('host') ?? '', user: address.username, database: address.pathname.slice(1), max: 1 });
  opening.defer(async () => await bare.end());
  const [quiet, busy, moved, minute, floor]: [number[], number[], number[], number[], number[]] = [[], [], [], [], []];
  for (let done = 0; done < looks; done += 1) {
    quiet.push(await cpuOf(look));
    floor.push(await cpuOf(async () => await bare`select * from hosts`));
    await report(store, repositoryId, hosts.slice(done * (count / 200), (done + 1) * (count / 200)), 3 + done);
    busy.push(await cpuOf(look));
    await move(store, repositoryId);
    moved.push(await cpuOf(look));
    let ofMinute = 0;
    for (let second = 0; second < 60; second += LOOK_SECONDS) {
      ahead += LOOK_SECONDS * 1_000;
      ofMinute = Math.max(ofMinute, await cpuOf(look));
    }
    minute.push(ofMinute);
  }
  const figure = { unit: 'ms', floor: median(floor), compare: 'ratio', aim: 1 } as const;
  return [
    { what: `(g) CPU of a look at ${count} hosts in a rollout`, floe: median(quiet), ...figure },
    { what: `(g) the same after ${count / 200} of them reported`, floe: median(busy), ...figure },
    { what: `(g) the same after the rollout moved`, floe: median(moved), ...figure },
    { what: `(g) the longest look of a quiet minute`, floe: median(minute), ...figure },
  ];
}

/** What was decided is stored again, as if the rollout had come somewhere. */
async function move(store: Store, repositoryId: string): Promise<void> {
  const { rollout } = await store.hosts.fleet(repositoryId);
  if (rollout === undefined) throw new Error('there is no rollout');
  await store.rollouts.save({ ...rollout, left: undefined }, systemClock.now(), []);
}

async function cpuOf(work: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000;
}

function policy(count: number): RolloutPolicy {
  const ring = (index: number, share: number | undefined): RingPolicy => ({
    ...defaultGates(index, 2),
    name: `ring-${index}`,
    members: { hosts: [], labels: [], share },
    minVerified: index === 0 ? count : 0,
    maxInFlight: undefined,
    windows: [],
    approvals: undefined,
    probes: [],
    pauseAfter: false,
  });
  return { ...DEFAULT_POLICY, rings: [ring(0, 10), ring(1, undefined)], maxInFlight: Math.round(count / 50) };
}

function systemOf(host: HostName, commit: number): StorePath {
  return `/nix/store/${'0'.repeat(32)}-nixos-system-${host}-${commit}` as StorePath;
}

async function publish(store: Store, repositoryId: string, hosts: readonly HostName[], commit: number): Promise<void> {
  const sha = String(commit).padStart(40, '0') as CommitSha;
  const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
  const { id, sequence } = await store.revisions.receive(repositoryId, { sha, ...about, receivedAt: commit, fetchedAt: commit });
  for (const event of ['accepted', 'verified'] as const) await store.revisions.advance(id, event, commit);
  if (commit > 1) await store.revisions.savePolicy(id, policy(hosts.length));
  const rows = hosts.map((host) => ({ host, outcome: 'CHANGED' as const, toplevel: systemOf(host, commit), system: 'x86_64-linux' }));
  await store.revisions.saveEvaluations(id, rows);
  await store.revisions.advance(id, 'evaluated', commit);
  const envelope = JSON.stringify({ payload: 'x'.repeat(600) });
  const releases = hosts.map((host) => ({ host, toplevel: systemOf(host, commit), sequence, commit: sha, issuedAt: commit, envelope }));
  await store.releases.publish(id, releases, commit);
}

async function report(store: Store, repositoryId: string, hosts: readonly HostName[], seq: number): Promise<void> {
  const commit = Math.min(seq, 2);
  const rows = new Map((await store.hosts.list(repositoryId)).map((row) => [row.host, row]));
  await store.reports.store(
    hosts.map((host) => {
      const toplevel = systemOf(host, commit);
      const observed = { current: toplevel, booted: toplevel, profile: { generation: commit, toplevel } };
      const { epoch = 1 } = rows.get(host) ?? {};
      return { host, seq, epoch, state: 'SUCCEEDED' as const, toplevel, observed, at: commit, receivedAt: systemClock.now() };
    }),
  );
}
