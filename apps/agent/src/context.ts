import type { Nix, NixStore } from '@floe/nix';
import type { AgentPolicy } from '@floe/protocol';
import { exec, systemClock, type Exec, type Logger } from '@floe/runtime';
import { Agent } from './agent.ts';
import { createConditions, NO_CONDITIONS } from './conditions.ts';
import type { Config, Env } from './config.ts';
import { assertCanEnrol, enrolAnew, ensureEnrolled, type EnrolmentDeps } from './enrolment.ts';
import { FolderMachine } from './folder-machine.ts';
import { loadIdentity, nixSystem } from './identity.ts';
import { openJournal, saveJournal } from './journal-file.ts';
import type { Machine } from './machine.ts';
import { NixosMachine } from './nixos/machine.ts';
import { readPolicy } from './policy.ts';
import { postJson } from './post-json.ts';
import { ReportQueue } from './report-queue.ts';
import { createTargetMachine } from './targets/create-target-machine.ts';
import { lockState, makeStateFolder, statePaths, type StatePaths } from './state-folder.ts';

export interface AgentContext extends AsyncDisposable {
  readonly agent: Agent;
}

export interface ContextOptions {
  readonly config: Config;
  readonly env: Env;
  readonly agentVersion: string;
  readonly logger: Logger;
  readonly random: () => number;
  /** IANA name of the machine's time zone, for times that people read. */
  readonly timeZone: string;
}

/** Everything of a running agent, from its settings and its state folder. */
export async function createAgentContext(options: ContextOptions): Promise<AgentContext> {
  const { config, random } = options;
  const logger = options.logger.child({ host: config.host });
  const paths = statePaths(config.stateDir);
  await makeStateFolder(config.stateDir);
  const stack = new AsyncDisposableStack();
  try {
    stack.use(await lockState(paths));
    await assertCanEnrol({ paths, tokenFile: config.enrolmentTokenFile, host: config.host });
    const identity = await loadIdentity({ host: config.host, root: config.root, paths, system: nixSystem(process.arch, process.platform) });
    const journal = await openJournal(paths.journal, { clock: systemClock, logger });
    const reports = stack.use(await ReportQueue.open(paths.reports, journal.report, logger));
    const enrolment: EnrolmentDeps = {
      identity,
      serverUrl: config.serverUrl,
      tokenFile: config.enrolmentTokenFile,
      paths,
      post: postJson,
      clock: systemClock,
      logger,
      random,
    };
    const machine = createMachine(options, paths);
    const policy = async (): Promise<AgentPolicy> => await readPolicy({ machine, logger });
    const agent = new Agent({
      settings: { ...config, agentVersion: options.agentVersion },
      identity,
      machine,
      journal,
      saveJournal: async (next) => await saveJournal(paths.journal, next),
      reports,
      conditions:
        machine.boot === null
          ? NO_CONDITIONS
          : createConditions({
              machine,
              readPolicy: policy,
              exec,
              env: childEnvOf(options.env),
              clock: systemClock,
              logger,
              timeZone: options.timeZone,
            }),
      readPolicy: policy,
      ensureEnrolled: async (signal) => await ensureEnrolled(enrolment, signal),
      enrolAnew: async (signal) => await enrolAnew(enrolment, signal),
      exec,
      clock: systemClock,
      logger,
      random,
    });
    return { agent, [Symbol.asyncDispose]: async () => await stack.disposeAsync() };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function createMachine({ config, env, logger }: ContextOptions, paths: StatePaths): Machine {
  const childEnv = childEnvOf(env);
  // Nix remembers what caches said in SQLite, which agents on folders of one machine would fight over.
  const nixEnv = { ...childEnv, XDG_CACHE_HOME: paths.cache };
  const store: NixStore = config.root === undefined ? { kind: 'system' } : { kind: 'root', dir: config.root };
  const load = async (how: { readonly exec: Exec; readonly env: NodeJS.ProcessEnv }): Promise<Nix> => {
    const { createNix } = await import('@floe/nix');
    return createNix({ ...how, logger, store });
  };
  let loaded: Promise<Nix> | undefined;
  const nix = async (): Promise<Nix> => {
    loaded ??= load({ exec, env: nixEnv });
    return await loaded;
  };
  const { root, switchLimitMs } = config;
  const deps = { roots: paths.roots, exec, nix, env: childEnv, stateDir: paths.dir, switchLimitMs };
  return createTargetMachine(config.target, {
    ...deps,
    root: root ?? '',
    platform: process.platform,
    nixAs: load,
    nixos: () => (root === undefined ? new NixosMachine(deps) : new FolderMachine({ ...deps, root })),
  });
}

/** What the agent itself was told is not for the programs that it starts. */
function childEnvOf(env: Env): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(?:FLOE_|NOTIFY_SOCKET$|WATCHDOG_)/.test(name)));
}
