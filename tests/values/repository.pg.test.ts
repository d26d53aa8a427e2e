import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GitMirror } from '@floe/git';
import { boundedTime, isEndedRevision, MAX_BYTES, storableText, storeHash, type CommitSha, type StorePath } from '@floe/model';
import { createNix, createRepositoryNix, openUnsafeSandbox, type BuildResult, type RepositoryNix } from '@floe/nix';
import { openStatementLog, runPipeline, type PipelineDeps } from '@floe/pipeline';
import { FleetView, parseFleetPolicy, RevisionView, type FleetView as Fleet } from '@floe/protocol';
import { createLogger, generateKeyPem, nixString, signerFromPem, systemClock, Troubles, type Exec, type ExecResult } from '@floe/runtime';
import { openStore, type Repository, type Revision, type Store } from '@floe/store';
import { eventually, startPostgres } from '@floe/testkit';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { sendEvent, startServer, TOKEN } from '../../apps/cli/src/test/harness.ts';
import { Announcer } from '../../apps/server/src/announcer.ts';
import { FleetFeed } from '../../apps/server/src/feed.ts';
import { FleetReader } from '../../apps/server/src/fleet-reader.ts';
import { Notices } from '../../apps/server/src/notices.ts';
import { parseCommit } from '../../libs/git/src/commit.ts';
import { attributeNames, buildAnswer, commitBytes, nixAnswer, pathInfo, policyAnswer, type NixAnswer } from './from-outside.ts';
import { CommandLine, expectReadable, overTheWire } from './shown.ts';
import { preparedImage } from '../../libs/store/src/test/prepared-embedded.ts';

// What a repository says through git and Nix can be stored, read back and shown, on both databases: the pipeline itself
// works on commits of made-up bytes, whose hosts are evaluated by a Nix of which each answer is made up.

/** However many cases are asked for, and however busy the machine. */
const SUPERSESSION_LIMIT_MS = 600_000;
const RUNS = { PGlite: 4, Postgres: 8 };
/** GitHub's limit of a status. */
const MOST_OF_A_STATUS = 140;

const pushed = fc.record({
  commit: commitBytes,
  names: attributeNames,
  policy: policyAnswer,
  answers: fc.array(nixAnswer, { minLength: 12, maxLength: 12 }),
  builds: fc.array(buildAnswer, { minLength: 4, maxLength: 4 }),
  infos: fc.array(pathInfo, { minLength: 4, maxLength: 4 }),
});
type Pushed = typeof pushed extends fc.Arbitrary<infer Value> ? Value : never;

describe.each(['PGlite', 'Postgres'] as const)('what a repository says, on %s,', (database) => {
  const stack = new AsyncDisposableStack();
  const numRuns = fc.readConfigureGlobal().numRuns ?? RUNS[database];
  const stopping = new AbortController();
  const lines: string[] = [];
  const logger = createLogger({ level: 'debug', write: (line) => lines.push(line) });
  const told: { now: Pushed | undefined; count: number } = { now: undefined, count: 0 };
  const head = (): CommitSha => String(told.count).padStart(40, '0') as CommitSha;
  let store: Store;
  let repository: Repository;
  let reader: FleetReader;
  let announcer: Announcer;
  let statements: PipelineDeps['statements'];
  let running: Promise<unknown>;
  let onTold: () => void = () => undefined;

  beforeAll(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'floe-values-'));
    stack.defer(async () => await rm(folder, { recursive: true }));
    const target =
      database === 'PGlite'
        ? ({ kind: 'pglite', dataDir: undefined, image: await preparedImage() } as const)
        : ({ kind: 'postgres', url: stack.use(await startPostgres()).url } as const);
    store = stack.use(await openStore(target, { clock: systemClock, logger, migrationsDir: join(import.meta.dirname, '../../migrations') }));
    repository = await store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: systemClock.now() });
    statements = openStatementLog(join(folder, 'statements'), logger);
    const deps: PipelineDeps = {
      store,
      mirror: mirror(),
      ...(await nixOf(folder)),
      cache: await madeUpCache(join(folder, 'cache')),
      statements,
      releaseSigner: signerFromPem('release-1', generateKeyPem()),
      clock: systemClock,
      logger,
      random: () => 0,
      limits: { evaluations: 2, builds: 2, evaluationTimeoutMs: 1_000, evaluationMemoryBytes: 1, buildTimeoutMs: 1_000, buildMemoryBytes: 1 },
      rootsDir: join(folder, 'roots'),
      pollMs: 3_600_000,
      owner: 'test',
    };
    const troubles = new Troubles({ clock: systemClock, logger });
    const feed = new FleetFeed(() => systemClock.now());
    const view = { store, clock: systemClock, feed, repositoryId: repository.id, troubles };
    reader = new FleetReader({ ...view, notices: new Notices(), fetches: { shown: null } });
    announcer = new Announcer({ ...view, reader, logger, publicUrl: 'https://floe.example', hasForge: true });
    running = Promise.all([runPipeline(deps, repository.id, stopping.signal), announcer.run(stopping.signal, () => onTold())]);
  });
  afterAll(async () => {
    stopping.abort();
    await running;
    await stack.disposeAsync();
  });

  function mirror(): GitMirror {
    return {
      fetch: async (accepted) =>
        await Promise.resolve({ kind: accepted === head() ? 'unchanged' : 'advanced', head: head(), from: accepted, count: 1 }),
      branches: async () => await Promise.resolve({ branches: [], isComplete: true }),
      accept: async () => await Promise.resolve(),
      commit: async (sha) => await Promise.resolve(parseCommit(sha, told.now!.commit)),
      head: async () => await Promise.resolve(head()),
      contains: async () => await Promise.resolve(false),
      changedPaths: async () => await Promise.resolve('unknown' as const),
      changedNodes: async () => await Promise.resolve('unknown' as const),
      newCommits: async () => await Promise.resolve('unknown' as const),
      signedParts: async () => await Promise.resolve({ payload: new Uint8Array(), signature: undefined }),
      inspect: async () => await Promise.resolve({ problem: undefined, opaque: [], isComplete: true, submodules: [] }),
      flakeUrlOfAnother: async (sha) => await Promise.resolve(`git+file:///mirror?rev=${sha}`),
      selfMentions: async () => await Promise.resolve([]),
      tree: async (sha) => await Promise.resolve({ sha, flakeUrl: `git+file:///mirror?rev=${sha}#tree` }),
      whole: async (sha) => await Promise.resolve({ sha, flakeUrl: `git+file:///mirror?rev=${sha}` }),
      flakeUrl: async (sha) => await Promise.resolve(`git+file:///mirror?rev=${sha}`),
      flakeUrlWithout: async (sha) => await Promise.resolve(`git+file:///mirror?rev=${sha}`),
      [Symbol.asyncDispose]: async () => await Promise.resolve(),
    };
  }

  /** The real readers of what Nix prints, over a Nix that prints what was made up. */
  async function nixOf(folder: string): Promise<Pick<PipelineDeps, 'nix' | 'repositoryNix'>> {
    const exec: Exec = async (_file, args, { onStderrLine }) => {
      const answer = answerTo(args);
      for (const line of answer.stderr) onStderrLine?.(line);
      const result: ExecResult = { ...answer, end: 'exited', signal: null, stderr: '' };
      return await Promise.resolve(result);
    };
    const nix = createNix({ exec, logger, env: {} });
    const sandbox = await openUnsafeSandbox({ env: {}, exec, dir: join(folder, 'sandbox') });
    const ofRepository = createRepositoryNix({ exec, logger, sandbox }, nix);
    let builds = 0;
    const build: RepositoryNix['build'] = async () => {
      builds += 1;
      return await Promise.resolve(told.now!.builds[builds % told.now!.builds.length] as BuildResult);
    };
    return { nix, repositoryNix: { ...ofRepository, build } };
  }

  /** A cache that says of each path what was made up, and signs it. */
  async function madeUpCache(dir: string): Promise<PipelineDeps['cache']> {
    await mkdir(join(dir, 'nar'), { recursive: true });
    const signer = signerFromPem('cache-1', generateKeyPem());
    let count = 0;
    const publish = async (paths: readonly StorePath[]): Promise<void> => {
      for (const path of paths) {
        const { infos } = told.now!;
        const { narHash, closureSize } = infos[(count += 1) % infos.length]!;
        const url = `nar/${storeHash(path)}`;
        const signature = signer.sign(Buffer.from(`1;${path};${narHash};${closureSize};`));
        const fields = [
          `StorePath: ${path}`,
          `URL: ${url}`,
          `NarHash: ${narHash}`,
          `NarSize: ${closureSize}`,
          'References: ',
          `Sig: cache-1:${signature}`,
        ];
        await writeFile(join(dir, url), '');
        await writeFile(join(dir, `${storeHash(path)}.narinfo`), `${fields.join('\n')}\n`);
      }
    };
    return { urls: [`file://${dir}`], publicKeys: [`cache-1:${signer.publicKey}`], publisher: { publish, forget: () => undefined } };
  }

  function answerTo(args: readonly string[]): NixAnswer {
    const { names, policy, answers } = told.now!;
    const printed = (stdout: string, exitCode = 0): NixAnswer => ({ exitCode, stdout, stderr: [], durationMs: 1 });
    const expression = args[args.indexOf('--expr') + 1] ?? '';
    if (expression.includes('toFile')) return printed('');
    if (expression.includes('hasPolicy')) return printed(JSON.stringify({ hosts: names, hasPolicy: policy !== undefined }));
    if (args.includes('show-config')) return printed(JSON.stringify({ system: { value: 'x86_64-linux' } }));
    if (expression.includes('flake.checks')) return printed(JSON.stringify(checkOf(names)));
    if (expression.includes('flake.floe')) return printed(JSON.stringify(policy));
    const asked = names.findIndex((name) => expression.includes(`"nixosConfigurations".${nixString(name)}.config`));
    return answers[asked] ?? printed('', 1);
  }

  /** A check that the policy names: there it is, or only others are. */
  function checkOf(names: readonly string[]): unknown {
    const path = `/nix/store/${'0'.repeat(32)}-check`;
    return names.length % 2 === 0 ? { drv: `${path}.drv`, out: path } : { names };
  }

  function isSane({ narHash, closureSize }: Pushed['infos'][number]): boolean {
    return /^sha256:[0-9a-z]{52}$/.test(narHash) && Number.isInteger(closureSize) && closureSize >= 0 && closureSize <= MAX_BYTES;
  }

  async function push(what: Pushed): Promise<Revision> {
    told.now = what;
    told.count += 1;
    await store.repositories.wake(repository.id);
    return await eventually(
      'the revision has ended',
      async () => {
        const newest = await store.revisions.newest(repository.id);
        if (newest?.sha !== head()) return undefined;
        // However few of the hosts are left.
        const { held } = await store.repositories.get(repository.id);
        if (held?.commit === newest.sha) await store.repositories.allow(repository.id, newest.sha);
        // A cache that says nonsense is asked again, and that is said on the commit.
        const isOdd = newest.state === 'BUILDING' && newest.error !== undefined && !what.infos.every(isSane);
        return isEndedRevision(newest.state) || isOdd ? newest : undefined;
      },
      {
        timeoutMs: 15_000,
        everyMs: 5,
        explain: async () => `${JSON.stringify(await store.revisions.newest(repository.id))}\n${lines.slice(-3).join('\n')}`,
      },
    );
  }

  async function pushAndLook(what: Pushed): Promise<void> {
    const revision = await push(what);
    const { sha, subject, authorName, authorEmail, committedAt } = parseCommit(head(), what.commit);
    expect(revision).toMatchObject({ sha, subject, authorName, authorEmail, committedAt: boundedTime(committedAt) });

    const said = v.is(v.object({ policy: v.unknown() }), what.policy) ? parseFleetPolicy(what.policy.policy) : undefined;
    if (said?.kind === 'policy' && revision.state !== 'REJECTED') expect(revision.policy).toEqual(said.policy);
    if (said?.kind === 'problems') expect(revision.state).toBe('REJECTED');

    // Every name has a row, and nothing is left behind.
    const evaluations = await store.revisions.evaluations(revision.id);
    if (revision.state !== 'REJECTED') {
      const rows = new Set<string>(evaluations.map(({ host }) => host));
      const usable = what.names.filter((name) => name.isWellFormed() && !name.includes('\0') && name.length <= 64);
      expect(usable.filter((name) => !rows.has(name))).toEqual([]);
    }
    for (const { error, warnings } of evaluations) for (const text of [error ?? '', ...(warnings ?? [])]) expect(storableText(text)).toBe(text);

    const announced = new Promise<void>((resolve) => (onTold = resolve));
    announcer.mark('all');
    await announced;
    const statuses = await store.outbox.claimDue({ now: systemClock.now(), limit: 100, leaseMs: 1 });
    expect(statuses.map((status) => status.sha)).toContain(sha);
    for (const status of statuses) {
      expectReadable(status.description, status.context);
      expect([...status.description].length).toBeLessThanOrEqual(MOST_OF_A_STATUS);
      await store.outbox.markSent(status, systemClock.now());
    }

    const fleet: Fleet = overTheWire(FleetView, await reader.fleet());
    const revisions = overTheWire(v.array(RevisionView), await reader.revisions({ limit: 3 }));
    await using api = await startServer({
      'GET /api/events': (_request, response) => {
        response.writeHead(200, { 'content-type': 'text/event-stream' });
        sendEvent(response, 'snapshot', fleet);
        response.end();
      },
      'GET /api/fleet': { json: fleet },
      'GET /api/hosts': { json: fleet.hosts },
      'GET /api/revisions?limit=20': { json: revisions },
      [`GET /api/revisions/${sha}`]: { json: fleet.revision },
    });
    await using floe = await CommandLine.open(api.url, TOKEN);
    for (const command of ['status', 'hosts', 'events', 'revisions']) await floe.print(command);
    await floe.print('revisions', sha);
  }

  test('is stored as it was said, and can be shown', { timeout: SUPERSESSION_LIMIT_MS }, async () => {
    await fc.assert(fc.asyncProperty(pushed, pushAndLook), { numRuns, endOnFailure: true });
    expect(lines.filter((line) => /"level":"error"/.test(line))).toEqual([]);
  });

  test(
    'in a name that is one of a host when it is cut, and in one with a NUL, costs that host nothing',
    { timeout: SUPERSESSION_LIMIT_MS },
    async () => {
      const named = `${'a'.repeat(31)}.${'b'.repeat(32)}`;
      const system = (name: string): NixAnswer => {
        const path = `/nix/store/${'0'.repeat(32)}-${name}`;
        return {
          exitCode: 0,
          stdout: JSON.stringify({ drv: `${path}.drv`, out: path, system: 'x86_64-linux', labels: [], ring: null, formerHost: null, timeZone: null }),
          stderr: [],
          durationMs: 1,
        };
      };
      const commit = Buffer.from(`tree ${'4'.repeat(40)}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nnames`);
      const infos = [{ narHash: `sha256:${'a'.repeat(52)}`, closureSize: 1 }];
      const names = [named, `${named}_`, 'nul\0'];
      const revision = await push({
        commit,
        names,
        answers: names.map(system),
        builds: [{ kind: 'built', durationMs: 1 }],
        infos,
        policy: undefined,
      });
      expect(revision).toMatchObject({ state: 'PUBLISHED' });
      const rows = (await store.revisions.evaluations(revision.id)).filter(({ outcome }) => outcome !== 'REMOVED');
      expect(rows.map(({ host, outcome }) => [host, outcome])).toEqual(
        expect.arrayContaining([
          [named, 'NEW'],
          [`${named.slice(0, 63)}…`, 'EVAL_ERROR'],
          ['nul\uFFFD', 'EVAL_ERROR'],
        ]),
      );
      const { releases, unusable } = await statements.read();
      expect(unusable).toEqual([]);
      expect(releases.map(({ statement }) => statement.host)).toContain(named);
    },
  );
});
