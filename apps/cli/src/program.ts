import { nearest } from '@floe/model';
import { FloeError, describeError, isFloeError } from '@floe/runtime';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import packageJson from '../package.json' with { type: 'json' };
import type { Cli, CliDeps, GlobalOptions } from './cli.ts';
import { addCache } from './commands/cache.ts';
import { addEnrol } from './commands/enrol.ts';
import { addEvents } from './commands/events.ts';
import { addExport } from './commands/export.ts';
import { addHistory } from './commands/history.ts';
import { addHosts } from './commands/hosts.ts';
import { addLog } from './commands/log.ts';
import { addLogin } from './commands/login.ts';
import { addNotify } from './commands/notify.ts';
import { addProbe } from './commands/probe.ts';
import { addPins } from './commands/pins.ts';
import { addQuarantine } from './commands/quarantine.ts';
import { addTry } from './commands/try.ts';
import { addPolicy } from './commands/policy.ts';
import { addRevisions } from './commands/revisions.ts';
import { addRelease } from './commands/release.ts';
import { addRollout } from './commands/rollout.ts';
import { addStatus } from './commands/status.ts';
import { addSteering } from './commands/steer.ts';
import { addToken } from './commands/token.ts';
import { addVerify } from './commands/verify.ts';
import { addWhy } from './commands/why.ts';
import { connect } from './connect.ts';
import { errorText } from './error-text.ts';
import { EXIT_CODES, exitCodeOf } from './exit-codes.ts';
import { createOutput } from './output.ts';

/** As wide as the texts below that are not wrapped. */
const HELP_WIDTH = 120;

const HELP = `
Environment:
  FLOE_SERVER_URL  the server, when --server is not given
  FLOE_TOKEN_FILE  a file with the token, when --token-file is not given
  NO_COLOR         no colours, also on a terminal

Exit status:
  ${EXIT_CODES.ok}    done
  ${EXIT_CODES.failed}    failed, or refused by the server
  ${EXIT_CODES.usage}    wrong usage
  ${EXIT_CODES.unauthorized}    not logged in, or not allowed
  ${EXIT_CODES.unreachable}    the server cannot be reached
  ${EXIT_CODES.notFound}    no such host, revision, token or target
  ${EXIT_CODES.needsAttention}   something needs a person (floe status --exit-code)
  ${EXIT_CODES.interrupted}  stopped by Ctrl-C

Examples:
  $ floe login https://floe.example.org
  $ floe status
  $ floe events --follow`;

/** Runs one command line (without node and script) and gives what the process should end with. */
export async function runCli(argv: readonly string[], deps: CliDeps): Promise<number> {
  const out = createOutput(deps);
  const program = new Command('floe');
  const cli: Cli = {
    deps,
    out,
    exitCode: EXIT_CODES.ok,
    options: () => program.opts<GlobalOptions>(),
    api: () => connect(deps, program.opts<GlobalOptions>()),
  };
  program
    .description("Watch and steer a fleet of NixOS machines that follows one git repository's branch.")
    .version(packageJson.version, '-V, --version', 'print the version')
    .option('--json', 'print JSON; times are milliseconds since 1970')
    .option('--server <url>', 'talk to this server')
    .option('--token-file <path>', 'read the API token from this file')
    .addHelpText('after', HELP)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: out.help,
      writeErr: out.usage,
      outputError: (text, write) => write(text.replace(/^error: /, 'floe: ')),
      // Commander would look at the process's own streams.
      getOutHelpWidth: () => out.columns ?? HELP_WIDTH,
      getErrHelpWidth: () => out.errorColumns ?? HELP_WIDTH,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .showHelpAfterError('(see: floe --help)')
    .exitOverride();
  const adders = [
    addLogin,
    addStatus,
    addHosts,
    addWhy,
    addPins,
    addQuarantine,
    addTry,
    addHistory,
    addRevisions,
    addRollout,
    addRelease,
    addEvents,
    addEnrol,
    addSteering,
    addCache,
    addToken,
    addLog,
    addExport,
    addVerify,
    addNotify,
    addProbe,
    addPolicy,
  ];
  for (const add of adders) add(program, cli);
  for (const command of program.commands) {
    refuseUnknownSubcommands(command);
    command.showHelpAfterError(`(see: floe ${command.name()} --help)`);
    for (const below of command.commands) below.showHelpAfterError(`(see: floe ${command.name()} ${below.name()} --help)`);
  }
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return cli.exitCode;
  } catch (error) {
    // What an action says of its own arguments. Commander has told its own mistakes by now.
    if (error instanceof InvalidArgumentError) out.note(error.message);
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODES.ok : EXIT_CODES.usage;
    const isExpected = isFloeError(error) || (error instanceof Error && 'code' in error);
    if (!isExpected) {
      // Not left to Node, which would print an error with unescaped text of the server.
      out.note(`this is a bug in floe: ${error instanceof Error ? error.stack : String(error)}`);
      return EXIT_CODES.failed;
    }
    if (!(error instanceof FloeError && error.code === 'INTERRUPTED')) out.note(error instanceof FloeError ? errorText(error) : describeError(error));
    return exitCodeOf(error);
  }
}

/**
 * Where a group has a default subcommand, commander takes a mistyped one for that one's arguments: it then complains about their number or
 * about an option, and suggests nothing. No default subcommand takes arguments.
 */
function refuseUnknownSubcommands(group: Command): void {
  group.hook('preSubcommand', ({ args: [word], commands }, below) => {
    if (word === undefined || word.startsWith('-')) return;
    const names = [...commands.flatMap((each) => [each.name(), ...each.aliases()]), 'help'];
    if (names.includes(word)) return;
    const near = nearest(word, names);
    const hint = near.length === 0 ? `(The commands: ${names.join(', ')})` : `(Did you mean ${near.join(' or ')}?)`;
    below.parent?.error(`error: unknown command '${word}'\n${hint}`, { code: 'commander.unknownCommand' });
  });
}
