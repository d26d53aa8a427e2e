import { fileURLToPath } from 'node:url';
import type { CommitSha, HostName, Observed, StorePath, RolloutState } from '@floe/model';
import { silentLogger, systemClock, type Clock } from '@floe/runtime';
import { startPostgres } from '@floe/testkit';
import postgres from 'postgres';
import { openStore, type StoreDeps } from '../open.ts';
import type { HostPresence, NewRelease, Quarantine, Release, Repository, Revision, Rollout, StoredReport } from '../records.ts';
import type { Store } from '../store.ts';
import { preparedImage } from './prepared-embedded.ts';

/** The migrations of this checkout. */
export const MIGRATIONS_DIR = fileURLToPath(new URL('../../../../migrations', import.meta.url));

/** A clock that shows the same time until it is set. */
class TestClock implements Clock {
  time = 1_000_000;
  now(): number {
    return this.time;
  }
  monotonic(): number {
    return this.time;
  }
  sinceBoot(): number {
    return this.time;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await systemClock.sleep(ms, signal);
  }
}

export function storeDeps(clock: Clock = new TestClock()): StoreDeps {
  return { clock, logger: silentLogger, migrationsDir: MIGRATIONS_DIR };
}

/** A store and what it lies on; all gone when disposed. */
export interface World extends AsyncDisposable {
  readonly store: Store;
  readonly clock: TestClock;
  /** Runs SQL beside the store; only on Postgres. */
  readonly query?: (statement: string) => Promise<readonly Readonly<Record<string, unknown>>[]>;
}

async function openPglite(): Promise<World> {
  const clock = new TestClock();
  const store = await openStore({ kind: 'pglite', dataDir: undefined, image: await preparedImage() }, storeDeps(clock));
  return { store, clock, [Symbol.asyncDispose]: async () => await store[Symbol.asyncDispose]() };
}

async function openPostgres(): Promise<World> {
  await using opening = new AsyncDisposableStack();
  const server = opening.use(await startPostgres());
  const clock = new TestClock();
  const store = opening.use(await openStore({ kind: 'postgres', url: server.url }, storeDeps(clock)));
  const address = new URL(server.url);
  const beside = postgres({ host: address.searchParams.get('host') ?? '', user: address.username, database: address.pathname.slice(1), max: 1 });
  opening.defer(async () => await beside.end());
  const held = opening.move();
  const query = async (statement: string): Promise<readonly Readonly<Record<string, unknown>>[]> => await beside.unsafe(statement);
  return { store, clock, query, [Symbol.asyncDispose]: async () => await held.disposeAsync() };
}

/** What every test of the store's behaviour runs on. */
export const WORLDS = [
  { name: 'PGlite', open: openPglite },
  { name: 'Postgres', open: openPostgres },
] as const;

let counter = 0;

/** Tests share a database: each has repositories and hosts of its own. */
export function unique(prefix: string): string {
  counter += 1;
  return `${prefix}${counter}`;
}

export function newHost(): HostName {
  return unique('host') as HostName;
}

export function commit(digit: string): CommitSha {
  return digit.repeat(40).slice(0, 40) as CommitSha;
}

export function path(name: string): StorePath {
  return `/nix/store/${'0'.repeat(32)}-${name}` as StorePath;
}

export async function newRepository(store: Pick<Store, 'repositories'>): Promise<Repository> {
  return await store.repositories.ensure({ url: `https://forge.example/${unique('fleet')}.git`, branch: 'main', now: 1 });
}

export async function rolloutOf(store: Store, repositoryId: string, revisionId: string): Promise<Rollout | undefined> {
  return (await store.revisions.list(repositoryId, 100)).find(({ revision }) => revision.id === revisionId)?.rollout;
}

export async function quarantinesOf(store: Store, repositoryId: string): Promise<readonly Quarantine[]> {
  return (await store.hosts.fleet(repositoryId)).hosts.flatMap(({ quarantines }) => quarantines);
}

export async function receive(store: Pick<Store, 'revisions'>, repository: Repository, sha: CommitSha): Promise<Revision> {
  const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
  return await store.revisions.receive(repository.id, { sha, ...about, receivedAt: 10, fetchedAt: 20 });
}

/** Walks a received revision to BUILDING. */
export async function toBuilding(store: Pick<Store, 'revisions'>, id: string): Promise<void> {
  for (const event of ['accepted', 'verified', 'evaluated'] as const) await store.revisions.advance(id, event, 30);
}

export function newRelease(revision: Revision, host: HostName, toplevel: StorePath): NewRelease {
  return { host, sequence: revision.sequence, toplevel, commit: revision.sha, issuedAt: 40, envelope: JSON.stringify({ toplevel }) };
}

/** The newest release of a host. */
export async function newestRelease(store: Store, repository: Repository, host: HostName): Promise<Release | undefined> {
  return (await store.releases.latest(repository.id)).find((release) => release.host === host);
}

/** A published revision that gives each of `hosts` a system of its own. */
export async function publishNext(store: Store, repository: Repository, sha: CommitSha, hosts: readonly HostName[]): Promise<Revision> {
  const revision = await receive(store, repository, sha);
  await toBuilding(store, revision.id);
  await store.hosts.ensure(repository.id, hosts);
  await store.releases.publish(
    revision.id,
    hosts.map((host) => newRelease(revision, host, path(`${host}-${revision.sequence}`))),
    50,
  );
  return revision;
}

/** Of the default policy: who wrote what it has not had. */
export const FIRST_RING = { index: 0, name: 'all' } as const;

/** Moves the current rollout of the repository, as its engine does. False: somebody else did meanwhile. */
export async function moveRollout(store: Store, repositoryId: string, state: RolloutState, at: number): Promise<boolean> {
  const { rollout } = await store.hosts.fleet(repositoryId);
  if (rollout === undefined) throw new Error('there is no rollout');
  return await store.rollouts.save({ id: rollout.id, version: rollout.version, course: { ...rollout.course, state, since: at } }, at, []);
}

export function observed(toplevel: StorePath): Observed {
  return { current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } };
}

export function presence(changes: Partial<HostPresence> = {}): HostPresence {
  return {
    sessionId: 'server/1',
    bootId: 'boot',
    machineId: 'machine',
    agentVersion: '0.1.0',
    system: 'x86_64-linux',
    observed: { current: null, booted: null, profile: null },
    state: 'IDLE',
    epoch: 0,
    sequence: 0,
    reportSeq: 0,
    at: 100,
    ...changes,
  };
}

export function report(host: HostName, seq: number, changes: Partial<StoredReport> = {}): StoredReport {
  return {
    host,
    seq,
    epoch: 1,
    state: 'DOWNLOADING',
    toplevel: path('new'),
    observed: observed(path('old')),
    at: seq,
    receivedAt: 1_000 + seq,
    ...changes,
  };
}
