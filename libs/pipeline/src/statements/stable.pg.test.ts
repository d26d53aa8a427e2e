import { copyFile, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  DEFAULT_POLICY,
  defaultGates,
  isEndedRollout,
  promotedIn,
  type CommitSha,
  type HostName,
  type RolloutState,
  type StorePath,
} from '@floe/model';
import { seal, type StableStatement } from '@floe/protocol';
import { createLogger, generateKeyPem, signerFromPem, systemClock } from '@floe/runtime';
import type { FleetHost, LostRollout, Repository, Store } from '@floe/store';
import type { PostgresServer } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { rebuildFromStatements } from './rebuild.ts';
import { asCleared } from '../test/cleared.ts';
import { releaseHosts } from '../release.ts';
import { logStable } from './stable-statements.ts';
import { openStatementLog, type StatementLog } from './statement-log.ts';
import { presenceOf, type Agent } from '../test/agent.ts';
import { openOnPostgres, startMigratedPostgres } from '../test/migrated-postgres.ts';

/** One of each ring, the canary first. */
const HOSTS = ['canary', 'early', 'rest'] as HostName[];
const RINGS = new Map(HOSTS.map((host, ring) => [host, ring]));
const POLICY = {
  ...DEFAULT_POLICY,
  rings: HOSTS.map((host, index) => ({
    ...DEFAULT_POLICY.rings[0]!,
    ...defaultGates(index, 3),
    name: host,
    members: { hosts: [host], labels: [], share: undefined },
  })),
};
const URL = 'https://forge.example/fleet.git';
const [signer, stranger] = [1, 2].map(() => signerFromPem('release-1', generateKeyPem()));

let server: PostgresServer;
let template: string;
let dir: string;
beforeAll(async () => {
  ({ server, template } = await startMigratedPostgres());
  dir = await mkdtemp(join(tmpdir(), 'floe-stable-'));
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const lines: string[] = [];
const logger = createLogger({ level: 'warn', write: (line) => lines.push(line) });

/** A server's database and statement log, a fleet of three rings, and what may be told and be stable by what people saw happen. */
class World {
  store!: Store;
  #url = '';
  readonly dir: string;
  readonly statements: StatementLog;
  readonly agents = new Map<HostName, Agent>(HOSTS.map((host) => [host, { sequence: 0, epoch: 0, toplevel: undefined }]));
  /** `host sequence`: its ring was promoted. */
  readonly #promoted = new Set<string>();
  /** `host sequence`: a rollout was complete with it. */
  readonly #proved = new Set<string>();
  #commits = 0;
  #backup: string | undefined;
  #isReplaced = false;
  #branch = 'main';

  constructor(at: string) {
    this.dir = at;
    this.statements = openStatementLog(at, logger);
  }

  async open(from: string): Promise<void> {
    if (this.#url !== '') await this.store[Symbol.asyncDispose]();
    this.#url = await server.createDatabase(from);
    this.store = await openOnPostgres(this.#url, logger);
    const deps = { store: this.store, clock: systemClock, statements: this.statements, releaseKeys: [signer!], serverKeys: [], logger };
    await rebuildFromStatements(deps, await this.repository());
  }

  async repository(): Promise<Repository> {
    return await this.store.repositories.ensure({ url: URL, branch: this.#branch, now: 1 });
  }

  /** The branch gets another name at the forge, and in the settings. */
  rename(): void {
    this.#branch = this.#branch === 'main' ? 'trunk' : 'main';
  }

  async hosts(): Promise<readonly FleetHost[]> {
    return (await this.store.hosts.fleet((await this.repository()).id)).hosts;
  }

  /** The newest commit again, or another one, whose rollout begins at once. */
  async publish(isNew: boolean): Promise<void> {
    const repository = await this.repository();
    if (isNew || this.#commits === 0) this.#commits += 1;
    const sha = String(this.#commits).padStart(40, '0') as CommitSha;
    if ((await this.store.revisions.newest(repository.id))?.sha === sha) return;
    await this.move('PAUSED');
    const times = { committedAt: 1, receivedAt: 1, fetchedAt: 1 };
    const revision = await this.store.revisions.receive(repository.id, { sha, subject: '', authorName: '', authorEmail: '', ...times });
    await this.store.revisions.savePolicy(revision.id, POLICY);
    await this.statements.noteSequence(revision.sequence);
    for (const event of ['accepted', 'verified'] as const) await this.store.revisions.advance(revision.id, event, 1);
    await this.store.hosts.ensure(repository.id, HOSTS);
    const released = new Map((await this.store.releases.latest(repository.id)).map(({ host, toplevel }) => [host, toplevel]));
    const changed = HOSTS.filter((host) => released.get(host) !== this.system(host));
    await this.store.revisions.saveEvaluations(
      revision.id,
      HOSTS.map((host) => ({
        host,
        outcome: changed.includes(host) ? ('CHANGED' as const) : ('UNCHANGED' as const),
        toplevel: this.system(host),
        drvPath: 'drv',
      })),
    );
    await this.store.revisions.advance(revision.id, 'evaluated', 1);
    const built = changed.map((host) => ({ host, toplevel: this.system(host), system: 'x86_64-linux', narHash: 'sha256:0', closureSizeBytes: 1 }));
    await releaseHosts(
      { store: this.store, statements: this.statements, releaseSigner: signer!, clock: systemClock },
      repository,
      asCleared(revision),
      built,
    );
    await this.move('ROLLING', 0);
  }

  /** Every third commit leaves a host's system alone. */
  system(host: HostName): StorePath {
    const version = this.#commits % 3 === 0 && host === 'early' ? this.#commits - 1 : this.#commits;
    return `/nix/store/${'0'.repeat(32)}-${host}-${version}` as StorePath;
  }

  /** As the engine would decide. */
  async move(state: RolloutState, ring?: number): Promise<void> {
    const { rollout, hosts } = await this.store.hosts.fleet((await this.repository()).id);
    if (rollout === undefined || isEndedRollout(rollout.state)) return;
    const course = { ...rollout.course, state, ring: ring ?? rollout.course.ring };
    expect(await this.store.rollouts.save({ ...rollout, rings: RINGS, course }, 1, [])).toBe(true);
    const isPromoted = promotedIn({ ...rollout, rings: RINGS, course });
    const isTold = state === 'ROLLING' || state === 'COMPLETE';
    for (const { row, situation } of hosts) {
      const key = `${row.host} ${situation.rollout?.sequence}`;
      if (isTold && isPromoted(row.host)) this.#promoted.add(key);
    }
    if (state === 'COMPLETE') for (const { row, situation } of await this.hosts()) this.#proved.add(`${row.host} ${situation.stable?.sequence}`);
  }

  async nextRing(): Promise<void> {
    const { rollout } = await this.store.hosts.fleet((await this.repository()).id);
    if (rollout?.state === 'ROLLING') await this.move('ROLLING', Math.min(2, rollout.course.ring + 1));
  }

  async complete(): Promise<void> {
    const { rollout } = await this.store.hosts.fleet((await this.repository()).id);
    if (rollout?.state === 'ROLLING' && rollout.course.ring === 2) await this.move('COMPLETE');
  }

  /** `dies`: between the log and the database. */
  async log(dies = false): Promise<void> {
    const { stable, repositories } = this.store;
    const dying = new Error('died');
    const noteLogged = async (...args: Parameters<typeof stable.noteLogged>): Promise<void> => {
      if (dies) throw dying;
      await stable.noteLogged(...args);
    };
    const store = { stable: { ...stable, noteLogged }, repositories, confirmLease: async () => await this.store.confirmLease() };
    await logStable({ store, statements: this.statements, releaseSigner: signer!, clock: systemClock }, (await this.repository()).id).catch(
      (error: unknown) => {
        if (error !== dying) throw error;
      },
    );
  }

  /** Its agent connects, and does what it is told. */
  async hello(host: HostName): Promise<void> {
    const agent = this.agents.get(host);
    if (agent === undefined || (await this.store.hosts.get(host)) === undefined) return;
    await this.store.hosts.connect(host, presenceOf(agent));
    const each = (await this.hosts()).find(({ row }) => row.host === host);
    if (each?.desired.kind !== 'release') return;
    const { release } = each.desired;
    await this.store.hosts.desire([release], 1);
    const { epoch } = (await this.store.hosts.get(host))!;
    expect(release.sequence, `${host} accepted ${agent.sequence} before`).toBeGreaterThanOrEqual(agent.sequence);
    Object.assign(agent, { sequence: release.sequence, epoch, toplevel: release.toplevel });
  }

  /** Nobody is told what neither was proved nor was its ring's turn, and nothing is stable that was not proved. */
  async check(): Promise<void> {
    // Only a database that was replaced lacks what was complete.
    if (!this.#isReplaced) expect(await this.lost()).toBeUndefined();
    for (const { row, situation, desired } of await this.hosts()) {
      const { stable } = situation;
      if (stable !== undefined) expect([...this.#proved], `stable of ${row.host}`).toContain(`${row.host} ${stable.sequence}`);
      if (desired.kind !== 'release') continue;
      const key = `${row.host} ${desired.release.sequence}`;
      expect(this.#proved.has(key) || this.#promoted.has(key), `${key} because ${desired.because}`).toBe(true);
    }
  }

  /** Of the newest commit: whether what was complete before it is lost. */
  async lost(): Promise<LostRollout | undefined> {
    const newest = await this.store.revisions.newest((await this.repository()).id);
    return newest === undefined ? undefined : (await this.store.rollouts.completeBefore(newest.id)).lost;
  }

  async stable(): Promise<Record<string, number | undefined>> {
    return Object.fromEntries((await this.hosts()).map(({ row, situation }) => [row.host, situation.stable?.sequence]));
  }

  async told(): Promise<Record<string, string>> {
    return Object.fromEntries(
      (await this.hosts()).map(({ row, desired }) => [
        row.host,
        desired.kind === 'release' ? `${desired.release.sequence} ${desired.because}` : desired.kind,
      ]),
    );
  }

  async backUp(): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    this.#backup = await server.createDatabase(this.#url);
    this.store = await openOnPostgres(this.#url, logger);
  }

  /** The database is lost: an empty one, or the backup, takes its place. */
  async restore(isEmpty: boolean): Promise<void> {
    this.#isReplaced = true;
    await this.open(isEmpty ? template : (this.#backup ?? template));
  }
}

let worlds = 0;
async function withWorld(use: (world: World) => Promise<void>): Promise<void> {
  const world = new World(join(dir, `log${(worlds += 1)}`));
  await world.open(template);
  try {
    await use(world);
  } finally {
    await world.store[Symbol.asyncDispose]();
  }
}

async function runThrough(world: World): Promise<void> {
  await world.publish(true);
  for (const host of HOSTS) {
    await world.hello(host);
    await world.nextRing();
  }
  for (const host of HOSTS) await world.hello(host);
  await world.complete();
  await world.log();
}

test('a fleet of three rings whose database is rebuilt during a bad rollout: who had it keeps it, the others get their stable, and its rings begin again', async () => {
  await withWorld(async (world) => {
    await runThrough(world);
    await runThrough(world);
    expect(await world.stable()).toEqual({ canary: 2, early: 2, rest: 2 });
    await world.publish(true);
    await world.hello('canary' as HostName);
    await world.move('PAUSED');

    await world.restore(true);
    expect(await world.stable()).toEqual({ canary: 2, early: 2, rest: 2 });
    for (const host of HOSTS) await world.hello(host);
    expect(await world.told()).toEqual({ canary: '3 kept', early: '2 stable', rest: '2 stable' });

    // The next look at the branch takes its head in again: from the first ring on. Nothing was built again for those who were not told it.
    await world.publish(false);
    expect(await world.told()).toEqual({ canary: '3 rollout', early: '2 stable', rest: '2 stable' });
    await world.nextRing();
    await world.move('ABORTED');
    for (const host of HOSTS) await world.hello(host);
    expect(await world.stable()).toEqual({ canary: 2, early: 2, rest: 2 });
    await runThrough(world);
    expect(await world.stable()).toEqual({ canary: 5, early: 5, rest: 5 });
  });
});

test('a database that is lost after the branch got another name has what is stable from before', async () => {
  await withWorld(async (world) => {
    await runThrough(world);
    await runThrough(world);
    world.rename();
    await world.restore(true);
    expect(await world.stable()).toEqual({ canary: 2, early: 2, rest: 2 });
    await world.publish(true);
    expect(await world.lost()).toEqual({ isDefault: false });
    expect(await world.told()).toEqual({ canary: '3 rollout', early: '2 stable', rest: '2 stable' });
  });
});

test('the first commit in an empty database, or in an older backup, is one whose policy is compared with none, until it is complete', async () => {
  for (const isEmpty of [true, false])
    await withWorld(async (world) => {
      await runThrough(world);
      await world.backUp();
      await runThrough(world);
      await world.publish(true);
      expect(await world.lost()).toBeUndefined();
      await world.restore(isEmpty);
      for (let round = 0; round < 2; round += 1) {
        await world.publish(true);
        expect(await world.lost()).toEqual({ isDefault: false });
        // Nor does the log get another policy by that.
        await world.log();
        expect(await world.lost()).toEqual({ isDefault: false });
      }
      await runThrough(world);
      await world.publish(true);
      expect(await world.lost()).toBeUndefined();
    });
  // A backup that has all that was complete lacks nothing.
  await withWorld(async (world) => {
    await runThrough(world);
    await world.backUp();
    await world.restore(false);
    await world.publish(true);
    expect(await world.lost()).toBeUndefined();
  });
});

test('from a log of a time before stable was logged, nobody is told anything but what it runs, until the rings of the newest commit', async () => {
  await withWorld(async (world) => {
    await runThrough(world);
    await world.publish(true);
    await world.hello('canary' as HostName);
    await rm(join(world.dir, 'stable'), { recursive: true });
    await world.restore(true);
    for (const host of HOSTS) await world.hello(host);
    expect(await world.stable()).toEqual({ canary: undefined, early: undefined, rest: undefined });
    expect(await world.told()).toEqual({ canary: '2 kept', early: 'nothing', rest: 'nothing' });
    await world.publish(false);
    expect(await world.told()).toEqual({ canary: '2 rollout', early: 'nothing', rest: 'nothing' });
  });
});

type Action =
  | { readonly kind: 'publish'; readonly isNew: boolean }
  | { readonly kind: 'next' | 'complete' | 'log' | 'die' | 'backUp' | 'rename' }
  | { readonly kind: 'move'; readonly state: RolloutState }
  | { readonly kind: 'hello'; readonly host: number }
  | { readonly kind: 'restore'; readonly isEmpty: boolean };

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('publish' as const), isNew: fc.boolean() }) },
  { weight: 6, arbitrary: fc.constantFrom({ kind: 'next' as const }, { kind: 'complete' as const }) },
  { weight: 4, arbitrary: fc.constantFrom({ kind: 'log' as const }, { kind: 'die' as const }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('move' as const), state: fc.constantFrom<RolloutState>('PAUSED', 'ROLLING', 'ABORTED') }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('hello' as const), host: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.constantFrom({ kind: 'backUp' as const }, { kind: 'rename' as const }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('restore' as const), isEmpty: fc.boolean() }) },
);

async function act(world: World, step: Action): Promise<void> {
  if (step.kind === 'publish') await world.publish(step.isNew);
  else if (step.kind === 'next') await world.nextRing();
  else if (step.kind === 'complete') await world.complete();
  else if (step.kind === 'log' || step.kind === 'die') await world.log(step.kind === 'die');
  else if (step.kind === 'move') await world.move(step.state);
  else if (step.kind === 'hello') await world.hello(HOSTS[step.host]!);
  else if (step.kind === 'restore') await world.restore(step.isEmpty);
  else if (step.kind === 'rename') world.rename();
  else await world.backUp();
}

test('whatever happens, and whenever the database is lost, nothing is stable that no rollout proved, nobody is told what was not its turn, and a log that was written loses nothing', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 8, maxLength: 18 }), async (actions) => {
      await withWorld(async (world) => {
        await runThrough(world);
        for (const each of actions) {
          await act(world, each);
          await world.check();
        }
        await world.log();
        const before = await world.stable();
        await world.restore(true);
        await world.check();
        expect(await world.stable()).toEqual(before);
      });
    }),
    { numRuns: fc.readConfigureGlobal().numRuns ?? 3, endOnFailure: true },
  );
});

test('what somebody did to the log makes nothing stable that was not proved, and nothing less stable in a database that is there', async () => {
  await withWorld(async (world) => {
    for (let round = 0; round < 3; round += 1) await runThrough(world);
    const folder = join(world.dir, 'stable');
    const files = (await readdir(folder)).toSorted();
    expect(files).toHaveLength(3);
    const whole = await world.stable();
    const first = join(folder, files[0]!);

    // An old one comes again as the newest.
    await copyFile(first, join(folder, '000000000000009-again.json'));
    await world.restore(true);
    expect(await world.stable()).toEqual(whole);
    // Of a host's release that was never made, or that is another system than the one released.
    const sealed = (number: number, hosts: StableStatement['hosts'], by = signer!): string =>
      JSON.stringify(
        seal(by, 'floe/stable', { version: 1, repository: URL, ref: 'refs/heads/main', number, hosts, issuedAt: 1 } satisfies StableStatement),
      );
    const [canary, early, rest] = HOSTS as [HostName, HostName, HostName];
    await world.publish(true);
    const bad = world.system(canary);
    await writeFile(
      join(folder, '000000000000010-a.json'),
      sealed(10, [
        { host: canary, sequence: 99, toplevel: bad },
        { host: early, sequence: 4, toplevel: bad },
      ]),
    );
    // By another key.
    await writeFile(join(folder, '000000000000011-b.json'), sealed(11, [{ host: rest, sequence: 4, toplevel: world.system(rest) }], stranger));
    await writeFile(join(folder, 'garbage.json'), '[[[');
    await world.restore(true);
    expect(await world.stable()).toEqual(whole);
    expect((await readdir(folder)).includes('garbage.json')).toBe(false);

    // The newest is gone: what the database has stays, an empty one has what is left, and it is said.
    lines.length = 0;
    await world.backUp();
    await rm(join(folder, files[1]!));
    await rm(join(folder, files[2]!));
    await world.restore(false);
    expect(await world.stable()).toEqual(whole);
    await world.restore(true);
    expect(await world.stable()).toEqual({ canary: 1, early: 1, rest: 1 });
    expect(lines.join('')).toContain('lacks statements about stable releases');
    // A release that is called stable is gone: the one before it counts.
    await writeFile(join(folder, files[2]!), sealed(3, [{ host: rest, sequence: 3, toplevel: `/nix/store/${'0'.repeat(32)}-rest-3` as StorePath }]));
    await rm(join(world.dir, 'releases', '000000000000003-rest.json'));
    await world.restore(true);
    expect(await world.stable()).toEqual({ canary: 1, early: 1, rest: 1 });
  });
});

test('a log that is older than the database gets all again, in statements that each fit, however many hosts', async () => {
  await withWorld(async (world) => {
    await runThrough(world);
    await rm(join(world.dir, 'stable'), { recursive: true });
    await world.restore(false);
    await world.backUp();
    await world.restore(false);
    await runThrough(world);
    await world.backUp();
    await rm(join(world.dir, 'stable'), { recursive: true });
    await world.restore(false);
    expect(await readdir(join(world.dir, 'stable'))).toEqual([]);
    await world.log();
    const told = JSON.parse(
      Buffer.from(
        (JSON.parse(await readFile(join(world.dir, 'stable', (await readdir(join(world.dir, 'stable')))[0]!), 'utf8')) as { payload: string })
          .payload,
        'base64',
      ).toString(),
    ) as StableStatement;
    expect(told.hosts.map(({ host }) => host)).toEqual(HOSTS);

    // 2,000 with the longest names, none of which the log tells.
    const hosts = Array.from({ length: 2_000 }, (_, index) => ({
      host: `${index}`.padStart(60, 'h') as HostName,
      sequence: 10 ** 12,
      toplevel: `/nix/store/${'0'.repeat(32)}-${'s'.repeat(160)}` as StorePath,
    }));
    let noted = 0;
    const stable = {
      unlogged: async () => await Promise.resolve({ number: 7, hosts, policy: undefined }),
      noteLogged: async (_id: string, _number: number, some: readonly unknown[]) => void (await Promise.resolve((noted += some.length))),
    };
    const { repositories } = world.store;
    const confirmLease = async (): Promise<void> => await world.store.confirmLease();
    const statements = openStatementLog(join(world.dir, 'many'), logger);
    expect(
      await logStable(
        { store: { stable, repositories, confirmLease }, statements, releaseSigner: signer!, clock: systemClock },
        (await world.repository()).id,
      ),
    ).toBe(2_000);
    expect(noted).toBe(2_000);
    const read = await statements.readStable(7, [signer!]);
    expect(read.unusable).toEqual([]);
    expect(read.statements.flatMap((statement) => statement.hosts.map(({ host }) => host))).toEqual(hosts.map(({ host }) => host));
  });
});
