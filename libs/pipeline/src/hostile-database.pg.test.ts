import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { join } from 'node:path';
import { FreshnessStatement, open, peek, ReleaseStatement, seal, type Envelope } from '@floe/protocol';
import { generateKeyPem, signerFromPem, verifySignature } from '@floe/runtime';
import { MAX_COUNTER, MAX_TIME_MS, type CommitSha, type HostName, type StorePath } from '@floe/model';
import fc from 'fast-check';
import postgres from 'postgres';
import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import { openWorldStore, signer, World } from './test/world.ts';
import { databasesForTests } from './test/world-for-each-test.ts';

// A builder of its own process, on a database that belongs to somebody who wants other systems signed.

const createDatabase = databasesForTests();

const EVIL = `/nix/store/${'e'.repeat(32)}-evil-9` as StorePath;
const systemOf = (host: string, n: number): StorePath => `/nix/store/${'0'.repeat(32)}-${host}-${n}` as StorePath;

/** A release that nobody, or somebody else, signed, and that would be signed again because it ends soon. */
function planted(world: World, sequence: number, isSigned: boolean): string {
  const statement: ReleaseStatement = {
    version: 1,
    repository: world.repository.url,
    ref: world.repository.ref,
    commit: '1'.padStart(40, '0') as CommitSha,
    sequence,
    host: 'ada' as HostName,
    toplevel: EVIL,
    narHash: 'sha256:0',
    closureSizeBytes: 1,
    system: 'x86_64-linux',
    issuedAt: 1,
    expiresAt: 2,
  };
  const thief = signerFromPem('release-1', generateKeyPem());
  const sealed = seal(thief, 'floe/release', statement);
  return JSON.stringify(isSigned ? sealed : { ...sealed, signature: Buffer.alloc(64).toString('base64') });
}

/** Far, and what comes after it can still be written. */
const FAR = MAX_COUNTER - 1_000;

type Attack = (sql: postgres.Sql, world: World) => Promise<unknown>;
/** In the very transaction in which a revision is to be built. */
function whenBuilding(change: string): Attack {
  return async (sql) =>
    await sql.unsafe(`
      create or replace function strike() returns trigger as $$ begin update evaluations set ${change} where host = 'ada' and revision_id = new.id; return new; end $$ language plpgsql;
      create or replace trigger strike after update on revisions for each row when (new.state = 'BUILDING') execute function strike()`);
}
const system = (path: string): string => `toplevel = '${path}', drv_path = '${path}.drv'`;

/** What whoever owns the database may do, at any moment. */
const ATTACKS: Readonly<Record<string, Attack>> = {
  'another system in an evaluation': whenBuilding(system(EVIL)),
  'an earlier system in an evaluation': whenBuilding(system(systemOf('ada', 1))),
  'the system of another host': whenBuilding(system(systemOf('bob', 1))),
  'another former name': whenBuilding(`former_host = 'bob'`),
  'a host that was not evaluated': async (sql) =>
    await sql`insert into evaluations (revision_id, host, outcome, drv_path, toplevel, system)
      select id, 'eve', 'NEW', ${`${EVIL}.drv`}, ${EVIL}, 'x86_64-linux' from revisions order by sequence desc limit 1 on conflict do nothing`,
  'a revision that is being built already': async (sql) =>
    await sql`update revisions set state = 'BUILDING' where state in ('RECEIVED', 'VERIFYING', 'EVALUATING')`,
  'another commit of a revision': async (sql) =>
    await sql`update revisions set sha = ${'1'.padStart(40, '0')} where state = 'BUILDING' and sequence > 1`,
  'an earlier commit as a new revision': async (sql) =>
    await sql`update revisions set sha = ${'1'.padStart(40, '0')} where state in ('RECEIVED', 'VERIFYING', 'EVALUATING') and sequence > 2`,
  'a release that nobody signed': async (sql, world) => await sql`update releases set envelope = ${planted(world, 1, false)} where host = 'ada'`,
  'a release that another key signed': async (sql, world) => await sql`update releases set envelope = ${planted(world, 1, true)} where host = 'ada'`,
  'a submitted system': async (_sql, world) =>
    await world.store.submissions
      .request({
        repositoryId: world.repository.id,
        host: 'ada' as HostName,
        toplevel: EVIL,
        by: 'eve',
        reason: 'why not',
        at: 1,
        expiresAt: undefined,
      })
      .catch(() => undefined),
  'systems of a CI': async (_sql, world) => await world.submit('ada', 66),
  'another branch': async (sql) => await sql`update repositories set branch = 'evil'`,
  'another address': async (sql) => await sql`update repositories set url = 'https://evil.example/fleet.git'`,
  'a sequence far ahead': async (sql) => await sql`update repositories set sequence = ${FAR}`,
  'a release far ahead': async (sql) =>
    await sql`update releases set sequence = ${FAR} where not exists (select from releases where sequence = ${FAR})
      and id = (select id from releases where host = 'ada' order by sequence desc limit 1)`,
  'a date far ahead': async (sql) => await sql`update freshness set highest_as_of = ${MAX_TIME_MS - 2 * 365 * 24 * 3600_000}`,
  'a revision of systems of a CI': async (sql, world) => {
    await world.submit('ada', 67);
    return await sql`update revisions set handover_id = (select id from handovers limit 1) where state in ('EVALUATING', 'BUILDING')`;
  },
};

/** What was ever signed for the fleet. */
async function signedReleases(folder: string): Promise<readonly ReleaseStatement[]> {
  const releases = join(folder, 'statements/releases');
  const names = await readdir(releases);
  const envelopes = await Promise.all(names.map(async (name) => JSON.parse(await readFile(join(releases, name), 'utf8')) as Envelope));
  return envelopes.flatMap((envelope) => {
    const opened = open(envelope, 'floe/release', ReleaseStatement, [signer], verifySignature);
    return opened.kind === 'opened' ? [opened.statement] : [];
  });
}

/** Whoever owns the database can always hold things up: so long is waited for what may come. */
const PATIENCE_MS = 4_000;
async function seen(look: () => Promise<boolean>, patienceMs = PATIENCE_MS): Promise<void> {
  for (const until = performance.now() + patienceMs; performance.now() < until && !(await look());) await setTimeout(20);
}

/** Postgres may refuse an attack that meets the builder: its number is taken (23505), or each waits for the other (40P01). */
function unlessRefused(error: unknown): void {
  if (!(error instanceof postgres.PostgresError) || !['23505', '40P01'].includes(error.code)) throw error;
}

async function attacked(
  names: readonly (keyof typeof ATTACKS)[],
  moments: readonly ('evaluation' | 'build' | 'publication' | 'later')[],
): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'floe-hostile-'));
  const url = await createDatabase();
  const world = new World(await openWorldStore(url));
  const address = new URL(url);
  const sql = postgres({ host: address.searchParams.get('host') ?? '', user: address.username, database: address.pathname.slice(1), max: 1 });
  world.isApart = true;
  const running: Promise<unknown>[] = [];
  const strike = async (): Promise<void> => {
    for (const name of names) await ATTACKS[name]?.(sql, world).catch(unlessRefused);
  };
  const at = (moment: (typeof moments)[number]) => (): void => void (moments.includes(moment) && running.push(strike()));
  world.onEvaluate = at('evaluation');
  world.onBuild = at('build');
  world.onPublish = async () => {
    if (moments.includes('publication')) await strike();
  };
  const untilOver = async (sequence: number): Promise<void> => {
    const isOver = async (): Promise<boolean> => {
      const [newest] = await sql`select state, sequence from revisions where sequence = (select max(sequence) from revisions)`;
      return Number(newest?.['sequence']) >= sequence && !['RECEIVED', 'VERIFYING', 'EVALUATING', 'BUILDING'].includes(String(newest?.['state']));
    };
    await seen(isOver, names.length === 0 ? 30_000 : PATIENCE_MS);
  };
  try {
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(folder);
    await untilOver(1);
    await world.push({ ada: { evaluates: 2 }, bob: { evaluates: 2 } });
    await untilOver(2);
    if (moments.includes('later')) await strike();
    // What ends soon is signed again.
    await world.later(300 * 24 * 3600_000);
    await world.push({ ada: { evaluates: 3 }, bob: { evaluates: 3 } });
    await untilOver(3);
    for (const { envelope } of await sql`select envelope from freshness`) {
      const said = open(JSON.parse(String(envelope)) as Envelope, 'floe/freshness', FreshnessStatement, [signer], verifySignature);
      if (said.kind === 'opened') expect(said.statement.sequence, names.join(', ')).toBeLessThan(200_000);
    }
  } finally {
    await Promise.allSettled(running);
    await world.stop();
    await sql.end();
  }
  const signed = await signedReleases(folder);
  for (const { repository, ref, host, commit, toplevel, formerHost, purpose, sequence, expiresAt } of signed) {
    // Hosts remember what they accepted: a number or a date from which nothing leads back.
    expect({ sequence, expiresAt }, names.join(', ')).toEqual({
      sequence: expect.toSatisfy((n: number) => n <= 200_000) as number,
      expiresAt: expect.toSatisfy((time: number) => time < Date.now() + 15 * 365 * 24 * 3600_000) as number,
    });
    const of = world.commits[Number(commit) - 1]?.[host]?.evaluates;
    expect({ repository, ref, host, commit, toplevel, formerHost, purpose }, names.join(', ')).toEqual({
      repository: 'https://forge.example/fleet.git',
      ref: 'refs/heads/main',
      host,
      commit,
      toplevel: systemOf(host, Number(of)),
      formerHost: undefined,
      purpose: undefined,
    });
  }
  // A later number is no way back to a commit that another one has replaced: it would need no permit.
  for (const [host, ofHost] of Map.groupBy(signed, (each) => each.host)) {
    const commits = ofHost.toSorted((one, other) => one.sequence - other.sequence).map(({ commit }) => Number(commit));
    expect(commits, `${host}: ${names.join(', ')}`).toEqual(commits.toSorted((one, other) => one - other));
  }
  await rm(folder, { recursive: true, force: true });
  return signed.length;
}

const MOMENTS = ['evaluation', 'build', 'publication', 'later'] as const;

test('without an attack all of it is signed', async () => {
  expect(await attacked([], MOMENTS)).toBe(6);
});

test.each(Object.keys(ATTACKS))('%s, at every moment: only what a commit evaluates to is signed', async (name) => {
  await attacked([name], MOMENTS);
});

test('a branch that was set back leads back, and on from there: what it has for a head counts', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'floe-hostile-'));
  const world = new World(await openWorldStore(await createDatabase()));
  world.isApart = true;
  const [first, second, third] = ['1', '2', '3'].map((n) => n.padStart(40, '0') as CommitSha) as [CommitSha, CommitSha, CommitSha];
  const released = async (): Promise<readonly string[]> =>
    (await signedReleases(folder))
      .toSorted((one, other) => one.sequence - other.sequence)
      .map(({ sequence, commit }) => `${sequence} ${Number(commit)}`);
  try {
    world.commits.push({ ada: { evaluates: 1 } });
    await world.start(folder);
    await world.ended(first, 'PUBLISHED');
    await world.push({ ada: { evaluates: 2 } });
    await world.ended(second, 'PUBLISHED');
    world.commits.pop();
    await world.later(0);
    await eventually('it is back', async () => (await released()).includes('3 1') || undefined);
    world.commits.push({ ada: { evaluates: 3 } });
    await world.push({ ada: { evaluates: 4 } });
    await world.ended(third, 'PUBLISHED');
    expect(await released()).toEqual(['1 1', '2 2', '3 1', '4 3']);
  } finally {
    await world.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

test('any of these together, at any moments', { timeout: 600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.subarray(Object.keys(ATTACKS), { minLength: 2 }),
      fc.subarray([...MOMENTS], { minLength: 1 }),
      async (names, moments) => void (await attacked(names, moments)),
    ),
    {
      numRuns: 4,
    },
  );
});

/** What whoever owns the database may do with a commit that is refused because nobody allowed signed it. */
const UNSIGNED: Readonly<Record<string, string>> = {
  'a host that is late': `update evaluations set outcome = 'EVAL_ERROR', retry_at = 1 where revision_id = $1;
    insert into evaluations (revision_id, host, outcome, retry_at) values ($1, 'ada', 'EVAL_ERROR', 1) on conflict do nothing;
    update revisions set state = 'PUBLISHED' where id = $1`,
  'a host whose build failed': `insert into evaluations (revision_id, host, outcome, retry_at, drv_path, toplevel, system)
    values ($1, 'ada', 'BUILD_ERROR', 1, '${systemOf('ada', 2)}.drv', '${systemOf('ada', 2)}', 'x86_64-linux') on conflict do nothing;
    update revisions set state = 'BUILD_FAILED' where id = $1`,
  'one that is enrolled since': `insert into evaluations (revision_id, host, outcome) values ($1, 'ada', 'NOT_OURS') on conflict do nothing;
    update hosts set public_key = 'k', enrolled_at = 1 where host = 'ada'; update revisions set state = 'PUBLISHED' where id = $1`,
  'a build that goes on, as if a host had its release': `insert into releases (id, repository_id, revision_id, host, sequence, toplevel, "commit", issued_at, envelope)
    select 'planted', repository_id, id, 'bob', sequence, '${EVIL}', sha, 1, '{}' from revisions where id = $1;
    insert into evaluations (revision_id, host, outcome) values ($1, 'ada', 'NOT_EVALUATED') on conflict do nothing;
    update revisions set state = 'BUILDING' where id = $1`,
};

test.each(Object.keys(UNSIGNED))('%s: nothing of a commit that nobody allowed signed is signed', async (name) => {
  const folder = await mkdtemp(join(tmpdir(), 'floe-hostile-'));
  const url = await createDatabase();
  const world = new World(await openWorldStore(url));
  const address = new URL(url);
  const sql = postgres({ host: address.searchParams.get('host') ?? '', user: address.username, database: address.pathname.slice(1), max: 1 });
  world.isApart = true;
  try {
    world.commits.push({ ada: { evaluates: 1 }, bob: { evaluates: 1 } });
    await world.start(folder);
    await world.ended('1'.padStart(40, '0') as CommitSha, 'PUBLISHED');
    await world.shutDown();
    world.signers = { sshFile: '/nonexistent', path: undefined };
    await world.start(folder);
    const refused = await world.ended(await world.push({ ada: { evaluates: 2 }, bob: { evaluates: 2 } }), 'REJECTED');
    for (const statement of (UNSIGNED[name] ?? '').split(';')) await sql.unsafe(statement.replaceAll('$1', `'${refused.id}'`));
    await world.later(3_600_000);
    const isDone = async (): Promise<boolean> => world.evaluations.some((each) => each.startsWith('2 ')) || (await signedReleases(folder)).length > 2;
    await seen(isDone);
    expect(await isDone()).toBe(false);
  } finally {
    await world.stop();
    await sql.end();
    await rm(folder, { recursive: true, force: true });
  }
});

test('a planted release is what it claims to be: without its key it opens for nobody', () => {
  const world = { repository: { url: 'https://forge.example/fleet.git', ref: 'refs/heads/main' } } as World;
  for (const isSigned of [true, false]) {
    const envelope = JSON.parse(planted(world, 1, isSigned)) as Envelope;
    expect(peek(envelope, ReleaseStatement)).toMatchObject({ kind: 'opened', statement: { toplevel: EVIL } });
    expect(open(envelope, 'floe/release', ReleaseStatement, [signer], verifySignature).kind).not.toBe('opened');
  }
});
