import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { CommitSha, HostName, StorePath } from '@floe/model';
import { Envelope, peek, ReleaseStatement } from '@floe/protocol';
import { generateKeyPem, signerFromPem, silentLogger, type Clock } from '@floe/runtime';
import { openStore, type Repository, type Store } from '@floe/store';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { asCleared } from './test/cleared.ts';
import { FreshnessKeeper, releaseHosts, signFreshness, type ReleaseDeps } from './release.ts';
import { openStatementLog } from './statements/statement-log.ts';
import { preparedImage } from '../../store/src/test/prepared-embedded.ts';

const DAY = 24 * 3600_000;
const HOST = 'ada' as HostName;

class TestClock implements Clock {
  wall = 1_800_000_000_000;
  passed = 0;
  now(): number {
    return this.wall + this.passed;
  }
  monotonic(): number {
    return this.passed;
  }
  sinceBoot(): number {
    return this.passed;
  }
  async sleep(): Promise<void> {
    await Promise.resolve();
  }
}

let dir: string;
let store: Store;
let repository: Repository;
const clock = new TestClock();
let deps: ReleaseDeps & { readonly logger: typeof silentLogger };
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-release-'));
  const migrationsDir = join(import.meta.dirname, '../../../migrations');
  store = await openStore({ kind: 'pglite', dataDir: undefined, image: await preparedImage() }, { clock, logger: silentLogger, migrationsDir });
  repository = await store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: 1 });
  await store.hosts.ensure(repository.id, [HOST]);
  deps = {
    store,
    clock,
    logger: silentLogger,
    statements: openStatementLog(dir, silentLogger),
    releaseSigner: signerFromPem('release-1', generateKeyPem()),
  };
});
afterAll(async () => {
  await store[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

let commits = 0;
async function release(): Promise<void> {
  commits += 1;
  const sha = String(commits).padStart(40, '0') as CommitSha;
  const about = { subject: '', authorName: '', authorEmail: '', committedAt: 1, receivedAt: 1, fetchedAt: 1 };
  const revision = await store.revisions.receive(repository.id, { sha, ...about });
  for (const event of ['accepted', 'verified', 'evaluated'] as const) await store.revisions.advance(revision.id, event, 1);
  const toplevel = `/nix/store/${'0'.repeat(32)}-${commits}` as StorePath;
  await releaseHosts(deps, repository, asCleared(revision), [
    { host: HOST, toplevel, system: 'x86_64-linux', narHash: 'sha256:0', closureSizeBytes: 1 },
  ]);
}

async function statement(): Promise<ReleaseStatement> {
  const [latest] = await store.releases.latest(repository.id);
  const opened = peek(v.parse(Envelope, JSON.parse(latest?.envelope ?? '')), ReleaseStatement);
  if (opened.kind !== 'opened') throw new Error(opened.message);
  return opened.statement;
}

/** The time by which the host judges statements: the latest that the release key has signed for it. */
async function remembered(): Promise<number> {
  return await store.releases.highestAsOf(repository.id);
}

test('after a clock that was ahead was corrected, new statements end after the time that hosts remember', async () => {
  const keeper = new FreshnessKeeper(deps);
  await release();
  await keeper.keep(repository);
  const right = clock.wall;
  clock.wall += 400 * DAY;
  await release();
  await keeper.keep(repository);
  expect(await remembered()).toBe(clock.now());

  clock.wall = right;
  clock.passed += 5_000;
  await release();
  expect((await statement()).issuedAt).toBe(clock.now());
  expect((await statement()).expiresAt).toBeGreaterThan((await remembered()) + 300 * DAY);
});

test('an older release is signed again as soon as the clock is corrected, and is sent again to a host that refused it', async () => {
  const keeper = new FreshnessKeeper(deps);
  await release();
  await keeper.keep(repository);
  const before = await statement();
  const { id, toplevel, sequence } = (await store.releases.latest(repository.id))[0] ?? { id: '', toplevel: '' as StorePath, sequence: 0 };
  const [told] = await store.hosts.desire([{ id, host: HOST, toplevel, sequence }], 1);
  clock.wall += 2_000 * DAY;
  await signFreshness(deps, repository);
  clock.wall -= 2_000 * DAY;
  await store.reports.store([
    { host: HOST, seq: 1, epoch: 1, state: 'REJECTED', toplevel, observed: { current: null, booted: null, profile: null }, at: 1, receivedAt: 1 },
  ]);
  clock.passed += 5_000;
  const beside = new FreshnessKeeper(deps); // a restart checks immediately
  await beside.keep(repository);
  const after = await statement();
  expect(after).toMatchObject({ sequence: before.sequence, toplevel: before.toplevel, commit: before.commit });
  expect(after.expiresAt).toBeGreaterThan(await remembered());
  expect((await deps.statements.read()).releases.at(-1)?.statement).toEqual(after);
  expect((await store.hosts.get(HOST))?.epoch).toBe((told?.epoch ?? 0) + 1);
});

test('the release of a host that did not change for a year does not expire', async () => {
  const keeper = new FreshnessKeeper(deps);
  await release();
  for (let month = 0; month < 30; month += 1) {
    clock.passed += 30 * DAY;
    await keeper.keep(repository);
    expect((await statement()).expiresAt).toBeGreaterThan(clock.now() + 60 * DAY);
  }
});
