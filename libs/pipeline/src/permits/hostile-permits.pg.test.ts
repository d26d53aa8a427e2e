import { randomUUID } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AgentState, CommitSha, HostName, StorePath } from '@floe/model';
import {
  open,
  OPERATOR_NAMESPACE,
  PermitStatement,
  seal,
  storedEnvelope,
  wordText,
  type HostReport,
  type OperatorWord,
  ReleaseStatement,
  type SignedWord,
} from '@floe/protocol';
import { exec, execInTest, generateKeyPem, signerFromPem, silentLogger, systemClock, verifySignature, type Signer } from '@floe/runtime';
import type { SigningAnswer, Store } from '@floe/store';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { permitting } from '../builder/permitting.ts';
import { releaserOf } from '../releaser.ts';
import { answerQuestions } from '../signing-requests/answer-questions.ts';
import { newestLogged } from '../statements/newest-releases.ts';
import { logStable } from '../statements/stable-statements.ts';
import { openStatementLog, type StatementLog } from '../statements/statement-log.ts';
import { databasesForTests } from '../test/world-for-each-test.ts';
import { openWorldStore } from '../test/world.ts';

// A builder with keys of operators, on a database that belongs to somebody who wants hosts on older systems. Postgres and ssh-keygen are real.

const createDatabase = databasesForTests();
const URL_OF_FLEET = 'https://forge.example/fleet.git';
const REF = 'refs/heads/main';
const release = signerFromPem('release-1', generateKeyPem());
const [ada, bob, thief] = ['ada', 'bob', 'thief'].map((name) => signerFromPem(name, generateKeyPem())) as [Signer, Signer, Signer];
const KEYS = { ada, bob };
const HOSTS = ['ada', 'bob'] as const;
type Name = (typeof HOSTS)[number];
const MACHINES = { ada: 'a'.repeat(32), bob: 'b'.repeat(32) };
/** Of each host there is a release with each of these. */
const SEQUENCES = [1, 2, 3, 4, 5, 6];
const HOUR = 3600_000;

let dir = '';
const FILES = ['operator', 'other', 'mallory', 'committer'] as const;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-operators-'));
  for (const name of FILES) await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'x', '-f', join(dir, name)]);
  const line = async (who: string, options: string, key: (typeof FILES)[number]): Promise<string> =>
    `${who} ${options}${(await readFile(join(dir, `${key}.pub`), 'utf8')).split(' ').slice(0, 2).join(' ')}`;
  const lines = [
    line('operator@example.org', '', 'operator'),
    line('other@example.org', `namespaces="${OPERATOR_NAMESPACE}" `, 'other'),
    line('committer@example.org', 'namespaces="git" ', 'committer'),
  ];
  await writeFile(join(dir, 'operators'), `${(await Promise.all(lines)).join('\n')}\n`);
});
afterAll(async () => await rm(dir, { recursive: true, force: true }));

async function run(file: string, args: readonly string[], stdin?: string): Promise<string> {
  const { exitCode, stdout, stderr } = await execInTest(file, args, { env: { PATH: process.env['PATH'], HOME: '/nonexistent' }, stdin });
  if (exitCode !== 0) throw new Error(`${file} ${args.join(' ')}: ${stderr}`);
  return stdout;
}

async function sign(statement: string, key: (typeof FILES)[number] = 'operator', namespace = OPERATOR_NAMESPACE): Promise<SignedWord> {
  return { statement, signature: await run('ssh-keygen', ['-q', '-Y', 'sign', '-n', namespace, '-f', join(dir, key)], statement) };
}

const system = (host: string, n: number): StorePath => `/nix/store/${`${n}`.padStart(32, '0')}-nixos-system-${host}` as StorePath;
const commit = (n: number): CommitSha => `${n}`.padStart(40, '0') as CommitSha;

function releaseOf(host: string, n: number): ReleaseStatement {
  const about = { version: 1, repository: URL_OF_FLEET, ref: REF, commit: commit(n), sequence: n, host: host as HostName } as const;
  const built = { toplevel: system(host, n), narHash: 'sha256:abc', closureSizeBytes: 1, system: 'x86_64-linux' };
  return { ...about, ...built, issuedAt: 10, expiresAt: systemClock.now() + 1_000 * HOUR };
}

function reportOf(host: Name, n: number, state: AgentState, changes: Partial<HostReport> = {}): HostReport {
  const { repository, ref, commit: sha, sequence, toplevel } = releaseOf(host, n);
  return {
    version: 1,
    host: host as HostName,
    machineId: MACHINES[host],
    bootId: 'boot',
    seq: n,
    epoch: n,
    state,
    toplevel,
    release: { repository, ref, commit: sha, sequence, toplevel },
    floor: n,
    isTrial: false,
    isOverridden: false,
    observed: { current: toplevel, booted: toplevel, profile: null },
    code: null,
    at: 1,
    nonce: 'nonce',
    ...changes,
  };
}

function wordFor(host: string, n: number, changes: Partial<OperatorWord> = {}): OperatorWord {
  const { repository, ref, commit: sha, sequence, toplevel } = releaseOf(host, n);
  const now = systemClock.now();
  const about = { repository, ref, host: host as HostName, commit: sha, sequence, toplevel, floor: 6, actor: 'grace' };
  return { version: 1, ...about, reason: 'the kernel hängt', issuedAt: now, until: now + 40 * HOUR, nonce: randomUUID(), ...changes };
}

interface Asked {
  readonly host: Name;
  readonly n: number;
  readonly statement?: Partial<PermitStatement>;
  readonly epoch?: number;
  readonly word?: SignedWord | undefined;
}

/** A builder that works until the end, and what its database is good for. */
class Attacked implements AsyncDisposable {
  readonly sql: postgres.Sql;
  readonly store: Store;
  readonly #folder: string;
  readonly #repositoryId: string;
  readonly #stopping = new AbortController();
  readonly #working: Promise<unknown>;
  readonly #statements: StatementLog;
  readonly #log: () => Promise<unknown>;

  private constructor(store: Store, sql: postgres.Sql, folder: string, repositoryId: string) {
    this.store = store;
    this.sql = sql;
    this.#folder = folder;
    this.#repositoryId = repositoryId;
    const statements = (this.#statements = openStatementLog(join(folder, 'statements'), silentLogger));
    const config = { operatorKeys: { file: join(dir, 'operators'), path: process.env['PATH'] }, dataDir: folder };
    const deps = { config, store, statements, exec, clock: systemClock, logger: silentLogger };
    const { releaser, learnHosts } = permitting(deps, releaserOf(release), () => repositoryId);
    const newestReleased = async () => await newestLogged({ statements, releaseKeys: [release], logger: silentLogger });
    const { signal } = this.#stopping;
    this.#working = Promise.all([
      learnHosts(signal),
      answerQuestions({ store, owner: 'builder', releaser, newestReleased, clock: systemClock, logger: silentLogger }, repositoryId, signal),
    ]);
    this.#log = async () => await logStable({ store, statements, releaseSigner: release, clock: systemClock }, repositoryId);
  }

  /** Until it is taken over all is well: both hosts came to run 2 and 4, and 4 is stable. */
  static async begin(): Promise<Attacked> {
    const folder = await mkdtemp(join(tmpdir(), 'floe-permits-'));
    const url = await createDatabase();
    const store = await openWorldStore(url);
    const address = new URL(url);
    const sql = postgres({ host: address.searchParams.get('host') ?? '', user: address.username, database: address.pathname.slice(1), max: 1 });
    const { id } = await store.repositories.ensure({ url: URL_OF_FLEET, branch: 'main', now: 1 });
    await store.hosts.ensure(id, [...HOSTS] as HostName[]);
    const statements = openStatementLog(join(folder, 'statements'), silentLogger);
    for (const host of HOSTS) {
      await sql`update hosts set public_key = ${KEYS[host].publicKey}, machine_id = ${MACHINES[host]}, enrolled_at = 1 where host = ${host}`;
      for (const n of SEQUENCES) {
        const said = releaseOf(host, n);
        const envelope = seal(release, 'floe/release', said);
        await statements.writeRelease(envelope, said);
        await sql`insert into releases (id, repository_id, host, sequence, toplevel, "commit", issued_at, envelope)
          values (${`${host} ${n}`}, ${id}, ${host}, ${n}, ${said.toplevel}, ${said.commit}, 1, ${JSON.stringify(envelope)})`;
      }
    }
    const attacked = new Attacked(store, sql, folder, id);
    const reports = HOSTS.flatMap((host) => [
      reportOf(host, 1, 'ROLLED_BACK'),
      reportOf(host, 2, 'SUCCEEDED'),
      reportOf(host, 3, 'SUCCEEDED', { isTrial: true }),
      reportOf(host, 4, 'SUCCEEDED'),
      reportOf(host, 5, 'SUCCEEDED'),
      reportOf(host, 6, 'ROLLBACK_FAILED'),
    ]);
    for (const report of reports) await attacked.report(report, KEYS[report.host as Name]);
    await attacked.stable('ada', 4);
    await attacked.stable('bob', 4);
    await eventually(
      'the keys of the hosts are known',
      async () => (await readFile(join(folder, 'host-keys.json'), 'utf8')).includes('bob') || undefined,
    );
    return attacked;
  }

  async report(report: HostReport, by: Signer, host = report.host): Promise<void> {
    const { epoch, seq } = report;
    const envelope = JSON.stringify(seal(by, 'floe/report', report));
    await this.store.hostStatements.save([{ host, kind: 'end', epoch, seq, publicKey: by.publicKey, envelope, at: 1 }]);
  }

  /** Another commit is built for the host, now. */
  async release(host: Name, n: number): Promise<void> {
    const said = { ...releaseOf(host, n), issuedAt: systemClock.now() };
    await this.#statements.writeRelease(seal(release, 'floe/release', said), said);
  }

  /** The database says that it is stable. */
  async complete(host: string, n: number): Promise<void> {
    await this.sql`update hosts set stable_release_id = ${`${host} ${n}`} where host = ${host}`;
  }

  /** The same, and the builder looks. */
  async stable(host: string, n: number): Promise<void> {
    await this.complete(host, n);
    await this.logStable();
  }

  async logStable(): Promise<void> {
    await this.#log();
  }

  /** Why not, or undefined: it stands. */
  async ask({ host, n, statement, epoch = 7, word }: Asked): Promise<PermitStatement | string | undefined> {
    const said = releaseOf(host, n);
    const { repository, ref, sequence, toplevel } = said;
    const machineId = statement?.machineId ?? MACHINES[host];
    const about = { version: 1, repository, ref, host: host as HostName, machineId, sequence, toplevel, floor: 6 } as const;
    const why = { actor: 'grace', reason: 'the kernel hängt', issuedAt: 1, expiresAt: systemClock.now() + 24 * HOUR };
    const asked: PermitStatement = { ...about, ...why, nonce: 'n', onlyFor: { machineId, bootId: 'boot', epoch }, ...statement };
    const envelope = seal(release, 'floe/release', said);
    const request = JSON.stringify({ kind: 'permit', release: envelope, statement: asked, ...(word === undefined ? {} : { word }) });
    const answer = await this.#answerTo(host, request);
    if (answer === undefined || 'refused' in answer) return answer?.refused;
    const signed = storedEnvelope(answer.envelope)!;
    const opened = open(signed, 'floe/permit', PermitStatement, [release], verifySignature);
    if (opened.kind === 'refused') throw new Error(opened.message);
    return opened.statement;
  }

  async #answerTo(host: Name, request: string): Promise<SigningAnswer> {
    const question = { key: randomUUID(), repositoryId: this.#repositoryId, host: host as HostName, request };
    await this.store.signing.ask(question, 1);
    // Each of these is refused at once: the second one in a round after the one in which the question was looked at.
    for (let round = 0; round < 2; round += 1) {
      const other = { ...question, key: randomUUID(), request: '{}' };
      await eventually('another question is answered', async () => await this.store.signing.ask(other, 1), { everyMs: 5 });
    }
    return await this.store.signing.ask(question, 1);
  }

  /** That all questions have an answer. */
  async answered(): Promise<void> {
    const standing = async () => await this.sql`select 1 from signing_requests where envelope is null and refused is null`;
    await eventually('all is answered', async () => (await standing()).length === 0 || undefined, { everyMs: 5 });
  }

  /** Whether it is to be tried, or why not. */
  async askTrial(host: Name, n: number): Promise<ReleaseStatement | string> {
    const times = { now: systemClock.now(), latest: systemClock.now(), forMs: HOUR };
    const request = JSON.stringify({ kind: 'trial', release: seal(release, 'floe/release', releaseOf(host, n)), times });
    const answer = await this.#answerTo(host, request);
    if (answer === undefined || 'refused' in answer) return answer?.refused ?? 'nothing';
    const opened = open(storedEnvelope(answer.envelope)!, 'floe/release', ReleaseStatement, [release], verifySignature);
    if (opened.kind === 'refused') throw new Error(opened.message);
    return opened.statement;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#working;
    await this.store[Symbol.asyncDispose]();
    await this.sql.end();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

test('alone it permits what is stable, and nothing else', async () => {
  await using fleet = await Attacked.begin();
  expect(await fleet.ask({ host: 'ada', n: 4 })).toMatchObject({ sequence: 4, host: 'ada' });
  expect(await fleet.ask({ host: 'ada', n: 2 })).toMatch(/#2 is not what is stable on ada, which is #4, so an operator has to sign it: floe pin/);
  // A release that nobody completed a rollout with, although it ran there.
  expect(await fleet.ask({ host: 'ada', n: 5 })).toMatch(/not what is stable/);
  // Who asks names no operator.
  expect(await fleet.ask({ host: 'ada', n: 4, statement: { authorisedBy: 'operator@example.org' } })).not.toHaveProperty('authorisedBy');
  // What becomes stable later takes its place, and keeps it.
  await fleet.stable('ada', 5);
  expect(await fleet.ask({ host: 'ada', n: 5 })).toMatchObject({ sequence: 5 });
  await fleet.stable('ada', 4);
  expect(await fleet.ask({ host: 'ada', n: 4 })).toMatch(/not what is stable/);
  // It never came to run 6: the database calling it stable makes it no way back.
  await fleet.stable('bob', 6);
  expect(await fleet.ask({ host: 'bob', n: 6 })).toMatch(/did not sign/);
});

test('what was completed a moment ago is permitted as soon as the log tells so, without anybody', async () => {
  await using fleet = await Attacked.begin();
  await fleet.complete('ada', 5);
  expect(await fleet.ask({ host: 'ada', n: 5 })).toBeUndefined();
  expect(await fleet.ask({ host: 'bob', n: 4 })).toMatchObject({ sequence: 4 });
  await fleet.logStable();
  await fleet.answered();
  expect(await fleet.sql`select 1 from signing_requests where envelope is not null`).toHaveLength(2);
  expect(await fleet.ask({ host: 'ada', n: 5 })).toMatchObject({ sequence: 5, host: 'ada' });
  // What the database calls stable that is older is no reason to wait.
  await fleet.complete('ada', 2);
  expect(await fleet.ask({ host: 'ada', n: 2 })).toMatch(/not what is stable/);
});

test('an operator permits any release: one directive, until the end, and by one of the keys that are for it', async () => {
  await using fleet = await Attacked.begin();
  const word = await sign(wordText(wordFor('ada', 2)));
  expect(await fleet.ask({ host: 'ada', n: 2, word })).toMatchObject({ sequence: 2, actor: 'grace', authorisedBy: 'operator@example.org' });
  // The host connects again before it is back.
  expect(await fleet.ask({ host: 'ada', n: 2, word, statement: { nonce: 'another' } })).toMatchObject({ sequence: 2 });
  expect(await fleet.ask({ host: 'ada', n: 2, word, epoch: 8 })).toMatch(/used for another directive/);
  expect(await fleet.ask({ host: 'ada', n: 1, word: await sign(wordText(wordFor('ada', 1)), 'other') })).toMatchObject({
    authorisedBy: 'other@example.org',
  });
  const refused = async (signed: SignedWord, statement: Partial<PermitStatement> = {}): Promise<unknown> =>
    await fleet.ask({ host: 'ada', n: 2, word: signed, statement });
  expect(await refused(await sign(wordText(wordFor('ada', 2)), 'mallory'))).toMatch(/none of the allowed ones/);
  expect(await refused(await sign(wordText(wordFor('ada', 2)), 'committer'))).toMatch(/SSH/);
  expect(await refused(await sign(wordText(wordFor('ada', 2)), 'operator', 'git'))).toMatch(/not valid/);
  expect(await refused(await sign(wordText(wordFor('ada', 2, { until: systemClock.now() - 1 }))))).toMatch(/good until/);
  expect(await refused(await sign(wordText(wordFor('ada', 2, { until: systemClock.now() + 800 * HOUR }))))).toMatch(/more than 30 days/);
  expect(await refused(await sign(wordText(wordFor('ada', 2, { until: systemClock.now() + HOUR }))))).toMatch(/longer than what an operator signed/);
  expect(await refused(await sign(wordText(wordFor('ada', 2, { floor: 5 }))))).toMatch(/told 6 since/);
  expect(await refused(await sign(wordText(wordFor('bob', 2))))).toMatch(/another/);
  // A word that is no good is not passed over, not even for what is stable.
  expect(await fleet.ask({ host: 'ada', n: 4, word })).toMatch(/another commit/);
});

test('a word ends with what was built for its host since, whatever the database says that the host was told', async () => {
  await using fleet = await Attacked.begin();
  const word = await sign(wordText(wordFor('ada', 2, { issuedAt: systemClock.now() - HOUR, floor: 100 })));
  expect(await fleet.ask({ host: 'ada', n: 2, word })).toMatchObject({ sequence: 2 });
  await fleet.release('bob', 7);
  expect(await fleet.ask({ host: 'ada', n: 2, word, statement: { nonce: 'second' } })).toMatchObject({ sequence: 2 });
  await fleet.release('ada', 8);
  expect(await fleet.ask({ host: 'ada', n: 2, word, statement: { nonce: 'third' } })).toMatch(/#8 was built for the host since an operator signed/);
  const later = await sign(wordText(wordFor('ada', 2, { floor: 8 })));
  expect(await fleet.ask({ host: 'ada', n: 2, word: later, epoch: 8 })).toMatchObject({ sequence: 2 });
});

test('a trial takes no host back: below its newest release none is signed', async () => {
  await using fleet = await Attacked.begin();
  expect(await fleet.askTrial('ada', 6)).toMatchObject({ purpose: 'test', sequence: 6 });
  for (const n of [1, 4, 5]) expect(await fleet.askTrial('ada', n)).toMatch(/older than its newest release, which is #6: sign it: floe pin/);
});

/** What whoever owns the database may do to it. */
const ATTACKS: Readonly<Record<string, (fleet: Attacked) => Promise<unknown>>> = {
  ...Object.fromEntries(SEQUENCES.map((n) => [`${n} is stable`, async (fleet: Attacked) => await fleet.stable('ada', n)])),
  ...Object.fromEntries(SEQUENCES.map((n) => [`${n} is complete`, async (fleet: Attacked) => await fleet.complete('ada', n)])),
  'the host has the key of a thief': async ({ sql }) => await sql`update hosts set public_key = ${thief.publicKey} where host = 'ada'`,
  'the thief says that the host ran all of it': async (fleet) => {
    for (const n of SEQUENCES) await fleet.report(reportOf('ada', n, 'SUCCEEDED', { seq: 100 + n }), thief);
  },
  "the other host's word is this one's": async (fleet) => {
    for (const n of SEQUENCES) await fleet.report(reportOf('bob', n, 'SUCCEEDED', { seq: 200 + n, epoch: 100 + n }), bob, 'ada' as HostName);
  },
  'all reports are gone': async ({ sql }) => await sql`delete from host_statements`,
  'the number of what is logged is far ahead': async ({ sql }) => await sql`update repositories set stable_number = 1000000`,
};

test('whatever the owner of the database does and asks, with words that are bent, swapped or repeated: only what is stable, or what an operator signed', async () => {
  const genuine = await Promise.all(
    [wordFor('ada', 2), wordFor('bob', 1), wordFor('ada', 3, { floor: 4 }), wordFor('ada', 1, { until: systemClock.now() - HOUR })].map(
      async (word) => ({ word, signed: await sign(wordText(word)) }),
    ),
  );
  const byOthers = await Promise.all([sign(wordText(wordFor('ada', 1)), 'mallory'), sign(wordText(wordFor('ada', 1)), 'committer')]);
  const bent = fc
    .tuple(
      fc.nat(genuine.length - 1),
      fc.nat(genuine.length - 1),
      fc.constantFrom('none', 'swap', 'n', 'host', 'floor', 'until', 'nonce', 'blank'),
      fc.constantFrom(...SEQUENCES),
    )
    .map(([one, other, how, n]): SignedWord => {
      const { word, signed } = genuine[one]!;
      const changed = (changes: Partial<OperatorWord>): SignedWord => ({ ...signed, statement: wordText({ ...word, ...changes }) });
      switch (how) {
        case 'none':
          return signed;
        case 'swap':
          return { ...signed, signature: genuine[other]!.signed.signature };
        case 'n':
          return changed({ sequence: n, commit: commit(n), toplevel: system(word.host, n) });
        case 'host':
          return changed({ host: 'bob' as HostName });
        case 'floor':
          return changed({ floor: 100 });
        case 'until':
          return changed({ until: systemClock.now() + 100 * HOUR });
        case 'nonce':
          return changed({ nonce: randomUUID() });
        default:
          return { ...signed, statement: `${signed.statement} ` };
      }
    });
  /** Mostly one thing is not as it is to be. */
  const statement = fc.oneof(
    { weight: 3, arbitrary: fc.constant({}) },
    fc.record({ floor: fc.constantFrom(4, 7) }),
    fc.record({ machineId: fc.constantFrom(...Object.values(MACHINES)) }),
    fc.record({ host: fc.constantFrom(...(HOSTS as readonly string[] as HostName[])) }),
    fc.record({ reason: fc.constant('why not'), authorisedBy: fc.constant('operator@example.org') }),
    fc.record({ expiresAt: fc.constantFrom(1, 1_000).map((hours) => systemClock.now() + hours * HOUR) }),
  );
  const epoch = fc.constantFrom(7, 7, 8);
  const of = (host: Name, n: number, word: fc.Arbitrary<SignedWord | undefined>) =>
    fc.record({ host: fc.constant(host), n: fc.constant(n), statement, epoch, word });
  const withWord = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...genuine).chain(({ word, signed }) => of(word.host as Name, word.sequence, fc.constant(signed))) },
    { weight: 2, arbitrary: fc.constantFrom(...genuine).chain(({ word }) => of(word.host as Name, word.sequence, bent)) },
    fc.constantFrom(...byOthers).chain((signed) => of('ada', 1, fc.constant(signed))),
  );
  const any = fc.tuple(fc.constantFrom(...HOSTS), fc.constantFrom(4, 5, ...SEQUENCES));
  const asking = fc.oneof(
    any.chain(([host, n]) => of(host, n, fc.oneof({ weight: 3, arbitrary: fc.constant(undefined) }, bent))),
    withWord,
  );
  const step = fc.oneof({ weight: 1, arbitrary: fc.constantFrom(...Object.keys(ATTACKS)) }, { weight: 2, arbitrary: asking });
  const first = genuine[0];
  const story: readonly (string | Asked)[] = [
    { host: 'ada', n: 4 },
    '5 is complete',
    { host: 'ada', n: 5 },
    { host: 'ada', n: 1 },
    { host: 'ada', n: 2, word: first?.signed },
  ];
  const seen = { alone: 0, byWord: 0, refused: 0, standing: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array<string | Asked>(step, { minLength: 6, maxLength: 16 }), async (steps) => {
      await using fleet = await Attacked.begin();
      /** What was ever called stable: it never falls. */
      const stable = { ada: 4, bob: 4 };
      const used = new Map<string, string>();
      /** By the database. */
      let complete = 4;
      for (const each of steps) {
        if (typeof each === 'string') {
          await ATTACKS[each]?.(fleet);
          const [, n, what] = /^(\d) is (stable|complete)$/.exec(each) ?? [];
          complete = Number(n ?? complete);
          if (what === 'stable') stable.ada = Math.max(stable.ada, complete);
          continue;
        }
        const answer = await fleet.ask(each);
        if (answer === undefined) {
          seen.standing += 1;
          const { host, n, word } = each;
          expect({ host, n, hasWord: word !== undefined, isNewer: n > stable.ada }).toEqual({
            host: 'ada',
            n: complete,
            hasWord: false,
            isNewer: true,
          });
          continue;
        }
        if (typeof answer === 'string') {
          seen.refused += 1;
          continue;
        }
        const { sequence, host, machineId, floor, reason, expiresAt, authorisedBy, onlyFor } = answer;
        if (authorisedBy === undefined) {
          seen.alone += 1;
          // By its own record, of what this machine signed that it ran.
          expect([4, 5], JSON.stringify(answer)).toContain(sequence);
          expect([sequence, machineId], JSON.stringify(answer)).toEqual([stable[each.host], MACHINES[host as Name]]);
          continue;
        }
        seen.byWord += 1;
        const said = genuine.find(({ signed }) => signed.statement === each.word?.statement)?.word;
        expect(said, JSON.stringify(answer)).toMatchObject({ host, sequence, reason, actor: answer.actor });
        expect(floor).toBeLessThanOrEqual(said!.floor);
        expect(said!.until).toBeGreaterThan(systemClock.now());
        expect(expiresAt).toBeLessThanOrEqual(said!.until);
        const directive = `${machineId} ${onlyFor?.epoch}`;
        expect(used.get(said!.nonce) ?? directive).toBe(directive);
        used.set(said!.nonce, directive);
      }
      await fleet.logStable();
      await fleet.answered();
    }),
    { numRuns: 13, examples: [[[...story]]] },
  );
  // Not all of it is refused.
  expect(Math.min(seen.alone, seen.byWord, seen.refused, seen.standing), JSON.stringify(seen)).toBeGreaterThan(0);
});
