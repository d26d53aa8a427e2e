import { homedir, userInfo } from 'node:os';
import { parseArgs } from 'node:util';
import { describeError, exec, FloeError, isFloeError, isSentInClear, stderrLogger, systemClock, type Env } from '@floe/runtime';
import { parseConfig, rootOf, stateDirOf } from './config.ts';
import type { UserCommand } from './commands/user-commands.ts';
import type { TerminalInput } from './commands/confirm.ts';

export const HELP = `floe-agent: keeps this machine on the system that its fleet's repository names

Usage: floe-agent COMMAND [--root DIR]

Commands
  run               Connect to the server and stay. This is what the service runs.
  identity          Show this machine's host key and machine id.
  forget WHAT       Reset the epoch, date or sequence, when it makes the agent refuse every directive.

Commands for users of the machine: root, and one group
  status            Say whether there is an update, and what it waits for.
  later [DURATION]  Defer the new system: 30m, 2h, 1d.
  now               Activate it now.
  rollback          Go back to the previous system, and stay there.
  resume            Follow the fleet again.
  changes           Show which packages differ.
  notify            Show the agent's notices on this desktop. This is what the user service runs.

"floe-agent COMMAND --help" shows more about a command, with examples.

Options
  --root DIR   Use a folder instead of the machine, with a store, profile and state of its own. The same as FLOE_ROOT.
  --json       Print one JSON object.
  --verbose    With the details for administrators, in English (status, changes).
  --yes        Do not ask (rollback).
  --help       Show this text, or that of a command.
  --version    Show the version.

Settings (environment)
  FLOE_SERVER_URL             URL of the server
  FLOE_HOST                   this machine's name in nixosConfigurations
  FLOE_FORMER_HOST            its name there before it was renamed
  FLOE_ENROLMENT_TOKEN_FILE   file with the one-time token of "floe enrol HOST"; needed once
  FLOE_IDENTITY_KEY_FILE      file of this machine's key, for machines that forget their state folder: an SSH host key, for one
  FLOE_TRUSTED_RELEASE_KEYS   KEYID:BASE64 of the keys that sign releases, separated by spaces
  FLOE_TRUSTED_SERVER_KEYS    KEYID:BASE64 of the server's keys, separated by spaces
  FLOE_REJECT_BEFORE          refuse releases with a lower sequence, whoever signed them (default: none)
  FLOE_SUBSTITUTERS           URLs of the Nix caches, separated by spaces
  FLOE_TRUSTED_PUBLIC_KEYS    NAME:BASE64 of the Nix caches' keys, separated by spaces
  FLOE_REPOSITORY             accept only releases of this repository (default: any that a release key signed)
  FLOE_REF                    accept only releases of this branch, as refs/heads/NAME (default: any)
  FLOE_TARGET                 nixos (default), darwin, home-manager or profile; with FLOE_PROFILE, FLOE_USER, FLOE_HOME
  FLOE_STATE_DIR              default: /var/lib/floe-agent, below --root if there is one
  FLOE_SOCKET                 where these commands find the agent; default: /run/floe-agent/socket, below --root if there is one
  FLOE_LOG_LEVEL              debug, info (default), warn or error
  FLOE_RUNNING_FILE           where the agent says which commit runs; default: /run/floe-agent/running.json
  FLOE_METRICS_FILE           the same as metrics for Prometheus, a path that ends in .prom (default: none)
  FLOE_SOCKET_GROUP           the group whose members may use the commands for users
  FLOE_SWITCH_TIMEOUT_SECONDS, FLOE_BOOT_TIMEOUT_SECONDS, FLOE_HEALTH_GRACE_SECONDS, FLOE_SETTLE_SECONDS, FLOE_CONTACT_TIMEOUT_SECONDS, FLOE_SERVER_LIMIT_SECONDS,
  FLOE_BOOT_MOUNT_POINT, FLOE_MIN_FREE_MB, FLOE_DOWNLOAD_MAX_RATE, FLOE_SLOW_RETRY_SECONDS     see docs/configuration.md

Exit status: 0 stopped as asked, 1 a failure, 2 wrong usage or settings.
`;

const FORGET_HELP = `floe-agent forget: accept directives again after a value in the journal became too high

Usage: floe-agent forget [epoch] [date] [sequence]

  epoch      of directives, after the server's key was stolen or its database lost: EPOCH_LOWER, EPOCH_REUSED
  date       that the release key signed last, after the server's clock was ahead: RELEASE_EXPIRED
  sequence   of releases, after the repository's history began again: SEQUENCE_LOWER

Fix the cause first: these values protect against replayed old directives and releases. Run as root while the agent is stopped.
Keys, enrolment and quarantine stay.

Example
  sudo systemctl stop floe-agent && sudo floe-agent forget epoch && sudo systemctl start floe-agent
`;

const USER_COMMANDS: readonly UserCommand[] = ['status', 'later', 'now', 'rollback', 'resume', 'changes', 'notify'];

export interface CliDeps {
  readonly args: readonly string[];
  readonly env: Env;
  readonly version: string;
  /** Aborts when the process is asked to stop. */
  readonly signal: AbortSignal;
  readonly random: () => number;
  /** IANA name. */
  readonly timeZone: () => string;
  readonly stdin: TerminalInput;
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
}

/** Runs one command; returns the exit status. */
export async function runCli(deps: CliDeps): Promise<number> {
  try {
    const { values, positionals } = readArguments(deps.args);
    if (values.version === true) {
      deps.stdout(`floe-agent ${deps.version}\n`);
      return 0;
    }
    const [command, ...words] = positionals;
    const userCommand = USER_COMMANDS.find((each) => each === (command === 'help' ? words[0] : command));
    if (values.help === true || command === 'help') {
      const isForget = (command === 'help' ? words[0] : command) === 'forget';
      if (isForget) deps.stdout(FORGET_HELP);
      else deps.stdout(userCommand === undefined ? HELP : (await import('./commands/help.ts')).COMMAND_HELP[userCommand]);
      return 0;
    }
    if (userCommand !== undefined) return await runForUser(deps, userCommand, words, values);
    if (command === 'run') return await runDaemon(deps, values.root);
    if (command === 'forget') {
      const { forget } = await import('./commands/forget.ts');
      deps.stdout(await forget(words, { stateDir: stateDirOf(deps.env, rootOf(deps.env, values.root)) }));
      return 0;
    }
    if (command === 'identity') {
      const { showIdentity } = await import('./commands/status.ts');
      const root = rootOf(deps.env, values.root);
      deps.stdout(
        await showIdentity({
          root,
          stateDir: stateDirOf(deps.env, root),
          keyFile: deps.env['FLOE_IDENTITY_KEY_FILE']?.trim() || undefined,
          isJson: values.json === true,
        }),
      );
      return 0;
    }
    throw new FloeError('USAGE', `${command === undefined ? 'a command is missing' : `there is no command "${command}"`} (see floe-agent --help)`);
  } catch (error) {
    deps.stderr(`${isFloeError(error) ? describeError(error) : error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return isFloeError(error, 'USAGE') || isFloeError(error, 'CONFIG_INVALID') ? 2 : 1;
  }
}

/** Loaded only when asked for: the daemon does not need them. */
async function runForUser(deps: CliDeps, command: UserCommand, words: readonly string[], values: Values): Promise<number> {
  const [{ runUserCommand }, { socketPathOf }, { languageOf }] = await Promise.all([
    import('./commands/user-commands.ts'),
    import('./local/protocol.ts'),
    import('./text/words/languages.ts'),
  ]);
  const { args: _args, stdin, ...given } = deps;
  const root = rootOf(deps.env, values.root);
  const confirmOnTerminal = async (question: string): Promise<boolean> => {
    const { confirm } = await import('./commands/confirm.ts');
    return await confirm(question, stdin, deps.stderr, deps.signal);
  };
  return await runUserCommand(command, {
    ...given,
    root,
    stateDir: stateDirOf(deps.env, root),
    isJson: values.json === true,
    isVerbose: values.verbose === true,
    language: languageOf(deps.env),
    socketPath: socketPathOf(deps.env, root),
    words,
    isSure: values.yes === true,
    confirm: stdin.isTTY === true ? confirmOnTerminal : undefined,
  });
}

type Values = ReturnType<typeof readArguments>['values'];

function readArguments(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        root: { type: 'string' },
        json: { type: 'boolean' },
        verbose: { type: 'boolean' },
        yes: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
        version: { type: 'boolean' },
      },
    });
  } catch (cause) {
    throw new FloeError('USAGE', `${describeError(cause)} (see floe-agent --help)`);
  }
}

async function runDaemon(deps: CliDeps, root: string | undefined): Promise<number> {
  const config = parseConfig(deps.env, { root, account: { platform: process.platform, user: userInfo().username, home: homedir() } });
  const logger = stderrLogger(config.logLevel);
  // Directives are signed, but others on the network could read the enrolment token.
  if (isSentInClear(config.serverUrl)) logger.warn('the connection to the server is not encrypted: use https', { serverUrl: config.serverUrl });
  const { createAgentContext } = await import('./context.ts');
  const { tellServiceManager } = await import('./service-manager.ts');
  await using context = await createAgentContext({
    config,
    env: deps.env,
    agentVersion: deps.version,
    logger,
    random: deps.random,
    timeZone: deps.timeZone,
  });
  const ended = new AbortController();
  const telling = tellServiceManager({ exec, env: deps.env, clock: systemClock, logger }, ended.signal);
  try {
    await context.agent.run(deps.signal);
  } finally {
    ended.abort();
    await telling;
  }
  logger.info('stopped', { host: config.host });
  return 0;
}
