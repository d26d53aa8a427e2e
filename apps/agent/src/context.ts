import type { Nix, NixStore } from '@floe/nix';
import type { AgentDetail } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';
import { exec, readBootId, systemClock, type Exec, type Logger, type Env } from '@floe/runtime';
import { Agent } from './agent.ts';
import { createConditions, NO_CONDITIONS } from './when/conditions.ts';
import type { Config } from './config.ts';
import { enrolAnew, ensureEnrolled, hasNewToken, type EnrolmentDeps } from './server/enrolment.ts';
import { RunningRelease } from './engine/running-release.ts';
import { FolderMachine } from './machines/folder-machine.ts';
import { AgentIdentity, nixSystem } from './server/identity.ts';
import { openJournal, saveJournal } from './state/journal-file.ts';
import type { Machine } from './machines/machine.ts';
import { NixosMachine } from './machines/nixos/machine.ts';
import { readPolicy } from './when/policy.ts';
import { languageOf } from './text/words/languages.ts';
import { createUserRequests } from './local/user-requests.ts';
import { postJson } from './server/post-json.ts';
import { ReportQueue } from './state/report-queue.ts';
import { createTargetMachine } from './machines/targets/create-target-machine.ts';
import { serveUserSocket } from './local/socket.ts';
import { socketPathOf } from './local/protocol.ts';
import type { UserRequests } from './local/requests.ts';
import { runWall } from './local/wall.ts';
import { lockState, makeStateFolder, statePaths, type StatePaths } from './state/state-folder.ts';

export interface AgentContext extends AsyncDisposable {
  readonly agent: Agent;
}

export interface ContextOptions {
  readonly config: Config;
  readonly env: Env;
  readonly agentVersion: string;
  readonly logger: Logger;
  readonly random: () => number;
  /** IANA name of the machine's time zone, for times in messages. */
  readonly timeZone: () => string;
}

/** Everything of a running agent, from its settings and its state folder. */
export async function createAgentContext(options: ContextOptions): Promise<AgentContext> {
  const { config, random } = options;
  const logger = options.logger.child({ host: config.host });
  const paths = statePaths(config.stateDir);
  await makeStateFolder(config.stateDir);
  const stack = new AsyncDisposableStack();
  try {
    stack.use(await lockState(paths, { logger }));
    const system = nixSystem(process.arch, process.platform);
    const identity = new AgentIdentity({ ...config, paths, bootId: await readBootId(), system, logger });
    const journal = await openJournal(paths.journal, { clock: systemClock, logger });
    const reports = stack.use(await ReportQueue.open(paths.reports, journal.report, logger));
    let trouble: AgentDetail | undefined;
    const enrolment: EnrolmentDeps = {
      identity,
      slowRetryMs: config.slowRetryMs,
      triedTokens: new Set(),
      onTrouble: (told) => (trouble = told),
      serverUrl: config.serverUrl,
      tokenFile: config.enrolmentTokenFile,
      paths,
      post: postJson,
      clock: systemClock,
      logger,
      random,
    };
    const nix = loadNix(options, paths);
    const machine = createMachine(options, paths, nix);
    const policy = async (): Promise<AgentPolicy> => await readPolicy({ machine, logger });
    const env = childEnvOf(options.env);
    const conditions =
      machine.boot === null
        ? NO_CONDITIONS
        : createConditions({ machine, readPolicy: policy, exec, env, clock: systemClock, logger, timeZone: options.timeZone });
    const running = new RunningRelease({ ...config, machine, knownFile: paths.releases, clock: systemClock, logger });
    const agent = new Agent({
      settings: { ...config, agentVersion: options.agentVersion },
      identity,
      machine,
      journal,
      saveJournal: async (next) => await saveJournal(paths.journal, next),
      reports,
      conditions,
      readPolicy: policy,
      ensureEnrolled: async (signal) => await ensureEnrolled(enrolment, signal),
      enrolAnew: async (signal) => await enrolAnew(enrolment, signal),
      hasNewToken: async () => await hasNewToken(enrolment),
      enrolmentTrouble: () => trouble,
      running,
      exec,
      clock: systemClock,
      logger,
      random,
    });
    const requests = createUserRequests({
      agent,
      machine,
      running: async () => await running.look(agent.journal),
      host: config.host,
      serverUrl: config.serverUrl,
      agentVersion: options.agentVersion,
      readPolicy: policy,
      closureChanges: async (before, after, signal) => await (await nix()).closureChanges(before, after, signal),
      clock: systemClock,
      timeZone: options.timeZone,
      language: languageOf(options.env),
    });
    await serveLocal(stack, { config, agentEnv: options.env, env, logger, requests, isSomeoneHere: async () => await conditions.isSomeoneHere() });
    return { agent, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

interface LoadedNix {
  (): Promise<Nix>;
  /** The same Nix, run by `exec` in `env`. */
  readonly as: (how: { readonly exec: Exec; readonly env: NodeJS.ProcessEnv }) => Promise<Nix>;
}

/** Nix on the machine's store, or on the folder's; loaded when it is first needed. */
function loadNix({ config, env, logger }: ContextOptions, paths: StatePaths): LoadedNix {
  // Nix caches answers in SQLite, for which agents on folders of one machine would compete.
  const nixEnv = { ...childEnvOf(env), XDG_CACHE_HOME: paths.cache };
  const store: NixStore = config.root === undefined ? { kind: 'system' } : { kind: 'root', dir: config.root };
  const as = async (how: { readonly exec: Exec; readonly env: NodeJS.ProcessEnv }): Promise<Nix> => {
    const { createNix } = await import('@floe/nix');
    return createNix({ ...how, logger, store });
  };
  let loaded: Promise<Nix> | undefined;
  return Object.assign(async () => await (loaded ??= as({ exec, env: nixEnv })), { as });
}

function createMachine({ config, env, logger }: ContextOptions, paths: StatePaths, nix: LoadedNix): Machine {
  const { root, switchLimitMs, bootMountPoint } = config;
  const deps = {
    roots: paths.roots,
    exec,
    nix,
    env: childEnvOf(env),
    stateDir: paths.dir,
    clock: systemClock,
    logger,
    switchLimitMs,
    bootMountPoint,
  };
  return createTargetMachine(config.target, {
    ...deps,
    root: root ?? '',
    platform: process.platform,
    nixAs: nix.as,
    nixos: () => (root === undefined ? new NixosMachine(deps) : new FolderMachine({ ...deps, root })),
  });
}

interface LocalOptions {
  readonly config: Config;
  readonly agentEnv: Env;
  /** The environment of programs that the agent starts. */
  readonly env: NodeJS.ProcessEnv;
  readonly logger: Logger;
  readonly requests: UserRequests;
  readonly isSomeoneHere: () => Promise<boolean>;
}

/** The local command socket, and messages on terminals. An agent without them still keeps the machine up to date. */
async function serveLocal(stack: AsyncDisposableStack, { config, agentEnv, env, logger, requests, isSomeoneHere }: LocalOptions): Promise<void> {
  try {
    const path = socketPathOf(agentEnv, config.root);
    const socket = stack.use(await serveUserSocket({ path, group: config.socketGroup, handlers: requests, logger }));
    if (config.root !== undefined) return;
    const ending = new AbortController();
    const wall = runWall(
      {
        notices: (listener) => requests.notices(listener),
        followerCount: () => socket.followerCount(),
        isSomeoneHere,
        exec,
        env,
        clock: systemClock,
        logger,
      },
      ending.signal,
    );
    stack.defer(async () => {
      ending.abort();
      await wall;
    });
  } catch (error) {
    logger.error('cannot open the local command socket', { error });
  }
}

/** Programs that the agent starts do not get the agent's own settings. */
function childEnvOf(env: Env): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(?:FLOE_|NOTIFY_SOCKET$|WATCHDOG_)/.test(name)));
}
