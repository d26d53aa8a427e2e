import { join } from 'node:path';
import type { GitMirror } from '@floe/git';
import { lookOf, type CommitSha, type HostName, type PolicyFloor, type StorePath } from '@floe/model';
import type { BuildResult, HostEvaluation, Nix, RepositoryNix } from '@floe/nix';
import { exec, FloeError, generateKeyPem, signerFromPem, silentLogger, systemClock, type AsyncSigner, type Clock } from '@floe/runtime';
import { openStore, type Evaluation, type Repository, type Revision, type Store } from '@floe/store';
import { eventually } from '@floe/testkit';
import { runPipeline, type PipelineDeps } from '../index.ts';
import type { SignerFiles } from '../commit-signers/types.ts';
import type { EvaluateSource } from '../evaluation/evaluate-source.ts';
import { Traces } from '../evaluation/traces.ts';
import { Footprints } from '../evaluation/footprints.ts';
import { believingNothing } from '../believing-nothing.ts';
import { ofSettings } from '../builder/of-settings.ts';
import { openStatementLog, type StatementLog } from '../statements/statement-log.ts';
import { anyCache } from './folder-cache.ts';
import type { WorldHost } from './world-host.ts';

const MIGRATIONS_DIR = join(import.meta.dirname, '../../../../migrations');
export const signer = signerFromPem('release-1', generateKeyPem());

export async function openWorldStore(url: string): Promise<Store> {
  const deps = { clock: systemClock, logger: silentLogger, migrationsDir: MIGRATIONS_DIR };
  return await openStore({ kind: 'postgres', url, maxConnections: 3 }, deps);
}

/** Stands in for git and Nix: a commit is given by the results of its hosts. */
export class World implements AsyncDisposable {
  readonly commits: Readonly<Record<string, WorldHost>>[] = [];
  /** Added to the clock. */
  laterMs = 0;
  evaluationMs = 0;
  longestSleepMs = Infinity;
  evaluations: string[] = [];
  /** What was logged for administrators. */
  readonly warnings: string[] = [];
  /** The systems that somebody builds. */
  readonly builders = ['x86_64-linux'];
  /** What the flake asks of Nix that is not set here, or that this cannot be read. */
  lacking: { readonly substituters: string[]; readonly keys: string[]; readonly features: string[] } | Error = {
    substituters: [],
    keys: [],
    features: [],
  };
  /** Duration of each fetch. */
  readonly fetchedAt: number[] = [];
  /** The flake output `floe`, or why it cannot be read. */
  policy: unknown;
  /** The same of a commit with these hosts. */
  policyOf: (hosts: Readonly<Record<string, WorldHost>>) => unknown = () => this.policy;
  policyFloor: PolicyFloor | undefined;
  releaseSigner: AsyncSigner = signer;
  /** The name of this builder in leases. */
  owner = 'test';
  wrapLog: (log: StatementLog) => StatementLog = (log) => log;
  signers: SignerFiles | undefined;
  source: EvaluateSource | undefined;
  /** The builder is a process of its own, and does not believe the database. */
  isApart = false;
  /** It signs what a server says was submitted all the same. */
  takesSubmissions = false;
  looksForSelf = false;
  keepCache: PipelineDeps['keepCache'];
  /** Hosts are not evaluated that a commit does not touch. */
  skips = false;
  /** The evaluations that were recorded. */
  traced: string[] = [];
  /** How often the flake was asked for more than one host: its names, its policy, a check. */
  questions = 0;
  refuse: () => void = () => undefined;
  onEvaluate: () => void = () => undefined;
  /** Of each host: its evaluation waits for this, after those that do not wait. */
  readonly evaluatesAfter = new Map<string, Promise<unknown>>();
  /** Of each host, and each check: its build waits for this. */
  readonly buildsAfter = new Map<string, Promise<unknown>>();
  /** What each build prints. */
  buildLine: string | undefined;
  onBuild: (host: string) => void = () => undefined;
  /** Called with the paths of each publication. */
  onPublish: (paths: readonly StorePath[]) => void | Promise<void> = () => undefined;
  /** What left the cache, and was not published again. */
  readonly gone = new Set<StorePath>();
  /** Heads that do not descend from what was accepted before. */
  readonly rewritten = new Set<CommitSha>();
  /** Commits that a force-push took out of the branch. */
  readonly removed = new Set<CommitSha>();
  /** Commits that the branch does not have. */
  readonly unknownCommits = new Set<CommitSha>();
  changedPaths: (from: CommitSha | undefined, to: CommitSha) => Promise<readonly string[] | 'unknown'> = async () => await Promise.resolve([]);
  repository!: Repository;
  readonly store: Store;
  #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(store: Store) {
    this.store = store;
  }

  async start(folder: string): Promise<void> {
    const sleep: Clock['sleep'] = async (ms, signal) => await systemClock.sleep(Math.min(ms, this.longestSleepMs), signal);
    const clock: Clock = { ...systemClock, sleep, now: () => systemClock.now() + this.laterMs };
    this.repository = await this.store.repositories.ensure({ url: 'https://forge.example/fleet.git', branch: 'main', now: clock.now() });
    const statements = this.wrapLog(openStatementLog(join(folder, 'statements'), silentLogger));
    this.#running = runPipeline(
      {
        store: ofSettings(this.store, { url: 'https://forge.example/fleet.git', branch: 'main' }),
        mirror: this.#mirror(),
        nix: this.#nix(),
        repositoryNix: this.#repositoryNix(),
        cache: anyCache(async (paths) => await this.onPublish(paths), this.#folder()),
        statements,
        releaseSigner: this.releaseSigner,
        clock,
        logger: { ...silentLogger, warn: (message) => void this.warnings.push(message) },
        random: () => 0,
        limits: { evaluations: 1, builds: 2, evaluationTimeoutMs: 1_000, evaluationMemoryBytes: 1, buildTimeoutMs: 1_000, buildMemoryBytes: 1 },
        rootsDir: join(folder, 'roots'),
        pollMs: 20,
        notifyTargets: ['chat'],
        policyFloor: this.policyFloor,
        signers: this.signers === undefined ? undefined : { ...this.signers, exec },
        source: this.source,
        ...(this.isApart
          ? believingNothing({ statements, releaseSigner: signer, logger: silentLogger }, { refusesSubmissions: !this.takesSubmissions })
          : {}),
        looksForSelf: this.looksForSelf,
        traces: this.skips ? await Traces.open(join(folder, 'traces.json'), silentLogger) : undefined,
        footprints: await Footprints.open(join(folder, 'footprints.json'), silentLogger),
        owner: this.owner,
        keepCache: this.keepCache,
      },
      this.repository.id,
      this.#stop.signal,
    );
  }

  /** Settles when the pipeline ends by itself. */
  async ends(): Promise<void> {
    const running = this.#running;
    this.#running = Promise.resolve();
    await running;
  }

  /** The server ends; it may start again, with other settings. */
  async shutDown(): Promise<void> {
    this.#stop.abort();
    await this.#running;
    this.#stop = new AbortController();
  }

  async stop(): Promise<void> {
    await this.shutDown();
    await this.store[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async push(hosts: Readonly<Record<string, WorldHost>>): Promise<CommitSha> {
    this.commits.push(hosts);
    await this.store.repositories.wake(this.repository.id);
    return this.#head();
  }

  /** Time passes, and the pipeline looks again. It would by itself, after some seconds. */
  async later(ms: number): Promise<void> {
    this.laterMs += ms;
    await this.store.repositories.wake(this.repository.id);
  }

  async ended(sha: CommitSha, state: Revision['state']): Promise<Revision> {
    return await eventually(`${sha} is ${state}`, async () => {
      const [found] = await this.store.revisions.byShaPrefix(this.repository.id, sha);
      return found?.state === state ? found : undefined;
    });
  }

  /** As a CI does. */
  async submit(host: string, system: number, commit?: CommitSha, person = 'ci'): Promise<string> {
    const toplevel = `/nix/store/${'0'.repeat(32)}-${host}-${system}` as StorePath;
    const asked = { repositoryId: this.repository.id, contentHash: `${system}`.padStart(64, 'c'), by: 'ci', person, at: systemClock.now() };
    const requested = await this.store.handovers.request({ ...asked, commit, systems: new Map([[host as HostName, toplevel]]) });
    if (requested.kind !== 'requested') throw new Error('too many wait');
    return requested.id;
  }

  async submitted(id: string, state: Revision['state']): Promise<Revision> {
    return await eventually(`what was submitted is ${state}`, async () => {
      const revision = await this.store.revisions.get((await this.store.handovers.revisionOf(id)) ?? '');
      return revision?.state === state ? revision : undefined;
    });
  }

  async row(revision: Revision, host: string): Promise<Evaluation | undefined> {
    return (await this.store.revisions.evaluations(revision.id)).find((each) => each.host === host);
  }

  async released(): Promise<Record<string, number>> {
    const releases = await this.store.releases.latest(this.repository.id);
    return Object.fromEntries(releases.map(({ host, toplevel }) => [host, Number(toplevel.split('-').at(-1))]));
  }

  #head(): CommitSha {
    return String(this.commits.length).padStart(40, '0') as CommitSha;
  }

  #at(flakeUrl: string): Readonly<Record<string, WorldHost>> {
    return this.commits[Number(commitIn(flakeUrl)) - 1] ?? {};
  }

  #mirror(): GitMirror {
    return {
      fetch: async (accepted) => {
        this.fetchedAt.push(performance.now());
        this.refuse();
        const head = this.#head();
        return { kind: accepted === head ? 'unchanged' : this.rewritten.has(head) ? 'diverged' : 'advanced', head, accepted } as never;
      },
      branches: async () => await Promise.resolve({ branches: [], isComplete: true }),
      accept: async () => undefined,
      commit: async (sha) => {
        if (this.unknownCommits.has(sha)) throw new FloeError('COMMIT_NOT_FOUND', 'there is none');
        return { subject: 's', authorName: 'a', authorEmail: 'a@b', committedAt: 1 } as never;
      },
      head: async () => this.#head(),
      contains: async (sha, earlier) => {
        if (this.unknownCommits.has(earlier)) throw new FloeError('COMMIT_NOT_FOUND', 'there is none');
        if (this.removed.has(earlier)) return false;
        return this.commits[Number(earlier) - 1] !== undefined && Number(earlier) <= Number(sha);
      },
      changedPaths: async (from, to) => (await this.#changes(from, to)) as never,
      changedNodes: async (from, to) => await this.#changes(from, to),
      newCommits: async () => [],
      signedParts: async () => ({ payload: new Uint8Array(), signature: undefined }),
      inspect: async () => ({ problem: undefined, opaque: [], isComplete: true, submodules: [] }),
      flakeUrlWithout: async (sha) => sha,
      flakeUrlOfAnother: async (sha) => await Promise.resolve(`another?${sha}`),
      selfMentions: async () => await Promise.resolve([]),
      tree: async (sha) => {
        const text = JSON.stringify(this.commits[Number(sha) - 1]);
        const same = String(this.commits.findIndex((each) => JSON.stringify(each) === text) + 1);
        return await Promise.resolve({ sha, flakeUrl: `mirror?${same}#tree` });
      },
      whole: async (sha) => await Promise.resolve({ sha, flakeUrl: sha }),
      flakeUrl: async (sha) => await Promise.resolve(sha),
      [Symbol.asyncDispose]: async () => undefined,
    };
  }

  #repositoryNix(): RepositoryNix {
    const gone = new Set<string>();
    return {
      sourcesOf: async () => [],
      lackingSettings: async () => {
        this.questions += 1;
        if (this.lacking instanceof Error) throw this.lacking;
        return this.lacking;
      },
      listHosts: async (url) => {
        this.questions += 1;
        const hosts = Object.keys(this.#at(url)) as HostName[];
        return await Promise.resolve({ hosts, invalid: [], clashing: [], hasPolicy: this.policyOf(this.#at(url)) !== undefined });
      },
      readFleetPolicy: async (url) => {
        this.questions += 1;
        const policy = this.policyOf(this.#at(url));
        if (policy instanceof FloeError) throw policy;
        return policy;
      },
      evaluateCheck: async (_url, name) => {
        this.questions += 1;
        if (name === 'missing') return { kind: 'failed', error: 'there is none' };
        return { kind: 'evaluated', target: { drvPath: `/nix/store/check-${name}-.drv`, toplevel: `/nix/store/${name}` as StorePath } };
      },
      evaluateHosts: async (url, hosts, { signal, onResult, isAsked }) => {
        const evaluate = async (host: HostName): Promise<void> => {
          await Promise.race([this.evaluatesAfter.get(host), aborted(signal)]);
          await systemClock.sleep(this.evaluationMs, signal);
          if (signal.aborted) return;
          this.onEvaluate();
          this.evaluations.push(`${Number(commitIn(url))} ${host}`);
          const known = this.#at(url)[host] ?? { evaluates: 'broken' };
          const isAnother = url.startsWith('another') && known.usesSelf === true && typeof known.evaluates === 'number';
          onResult(this.#evaluation(host, isAnother ? { ...known, evaluates: known.evaluates + 1_000 } : known, isAsked?.(host) === true));
        };
        const waits = (host: string): boolean => this.evaluatesAfter.has(host);
        for (const host of hosts.filter((each) => !waits(each))) await evaluate(host);
        await Promise.all(hosts.filter(waits).map(evaluate));
      },
      traceHost: async (url, host) => {
        this.traced.push(`${Number(commitIn(url))} ${host}`);
        const known = this.#at(url)[host] ?? { evaluates: 'broken' };
        if (typeof known.evaluates !== 'number') return await Promise.resolve(undefined);
        const evaluation = this.#evaluation(host, { ...known, evaluates: known.evaluates + (known.usesSelf === true ? 1_000 : 0) }, false);
        if (evaluation.kind !== 'evaluated') return undefined;
        const { host: _host, durationMs: _ms, warnings: _warnings, imported = [], kind: _kind, ...answer } = evaluation;
        return { answer, looks: new Set(imported.map((path) => lookOf('read', path))) };
      },
      notBuiltHere: async (targets) => {
        const arm = targets.filter(({ system }) => !this.builders.includes(system));
        return new Map(arm.map(({ drvPath, system }) => [drvPath, `needs a machine of ${system}`]));
      },
      build: async ({ drvPath }, { signal, onProgress }) => {
        const [, host = '', evaluates] = /-([a-z]+)-(\d+)?/.exec(drvPath) ?? [];
        this.onBuild(host);
        onProgress?.({ derivation: `${host}-system`, line: this.buildLine });
        await Promise.race([this.buildsAfter.get(host), aborted(signal)]);
        const ofThat = this.commits.findLast((each) => each[host]?.evaluates === Number(evaluates));
        const builds = (ofThat ?? this.commits.at(-1))?.[host]?.builds ?? 'ok';
        const failed = (code: 'BUILD_NO_MACHINE' | 'BUILD_DOWNLOAD_FAILED' | 'BUILD_DERIVATION_MISSING', isRetryable: boolean): BuildResult => ({
          kind: 'failed',
          code,
          error: builds,
          isRetryable,
          durationMs: 1,
        });
        if (drvPath.includes('check-broken')) return { ...failed('BUILD_NO_MACHINE', false), error: 'exit code 1' } as BuildResult;
        if (drvPath.includes('check-waits') && this.laterMs === 0) return failed('BUILD_DOWNLOAD_FAILED', true);
        if (builds === 'no-machine') return failed('BUILD_NO_MACHINE', false);
        if (builds === 'no-source') return failed('BUILD_DOWNLOAD_FAILED', true);
        if ((builds === 'collected' || builds === 'second-try') && !gone.has(drvPath)) {
          gone.add(drvPath);
          return failed(builds === 'collected' ? 'BUILD_DERIVATION_MISSING' : 'BUILD_DOWNLOAD_FAILED', true);
        }
        return { kind: 'built', durationMs: 1 };
      },
    };
  }

  async #changes(from: CommitSha | undefined, to: CommitSha) {
    const paths = await this.changedPaths(from, to);
    return paths === 'unknown' ? paths : paths.map((path) => ({ path, before: 'file' as const, after: 'file' as const }));
  }

  #evaluation(
    host: HostName,
    { evaluates, ring, timeZone, saysNo = false, system = 'x86_64-linux', imports, builtAs = host, derivation = builtAs }: WorldHost,
    isAsked: boolean,
  ): HostEvaluation {
    const common = { host, durationMs: 1, warnings: [`${host} warns`], imported: imports };
    if (isAsked && saysNo) return { ...common, kind: 'not-ours' };
    if (evaluates === 'silent')
      return { ...common, kind: 'failed', code: 'EVALUATION_FAILED', error: 'silent', isRetryable: false, isSilent: isAsked };
    if (typeof evaluates === 'number') {
      const named = (name: string): string => `/nix/store/${'0'.repeat(32)}-${name}-${evaluates}`;
      const paths = { drvPath: `${named(derivation)}.drv`, toplevel: named(builtAs) as StorePath };
      return { ...common, kind: 'evaluated', ...paths, system, labels: [`site=${host}`], ring, formerHost: undefined, timeZone };
    }
    const isRetryable = evaluates === 'waits';
    return { ...common, kind: 'failed', code: isRetryable ? 'INPUT_AWAY' : 'EVALUATION_FAILED', error: evaluates, isRetryable };
  }

  #folder(): NonNullable<PipelineDeps['cache']['folder']> {
    return {
      publishing: async (paths, work) => {
        const result = await work();
        for (const path of paths) this.gone.delete(path);
        return result;
      },
      keep: async (path) => await Promise.resolve(!this.gone.has(path)),
    };
  }

  #nix(): Nix {
    return {
      findSystem: async () => ({ kind: 'found', isHere: true, system: 'x86_64-linux', closureSizeBytes: 1 }),
      addRoot: async () => undefined,
      readBack: async (_cache: unknown, paths: readonly StorePath[]) =>
        new Map(paths.map((path) => [path, { narHash: 'sha256:0', closureSizeBytes: 1 }])),
    } as unknown as Nix;
  }
}

/** The number of the commit, of which a tree has the first with these hosts. */
function commitIn(flakeUrl: string): string {
  return /^(?:mirror\?|another\?)?(\d+)/.exec(flakeUrl)?.[1] ?? '';
}

/** Resolves when a step is stopped. */
async function aborted(signal: AbortSignal | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    if (signal?.aborted === true) resolve();
    signal?.addEventListener('abort', () => resolve(), { once: true });
  });
}
