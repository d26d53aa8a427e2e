import { EnrolmentTokenResponse, type HostName } from '@floe/protocol';
import { FloeError, describeError, writeFileDurably } from '@floe/runtime';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { hostNames, suggestion } from '../host-suggestions.ts';
import { formatEnrolment } from '../view/enrolment.ts';
import { hostArgument } from './arguments.ts';

export function addEnrol(program: Command, cli: Cli): void {
  program
    .command('enrol')
    .alias('enroll')
    .description('make a one-time token for a host, and show what to do there')
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .option('--out <file>', 'write the one-time token to a file (mode 0600) instead of showing it')
    .addHelpText(
      'after',
      `
The token is shown once and is good for one machine, under this name only, for a short time. The machine makes its own
key with it; the key never leaves the machine. Enrolling a host again replaces its key.

Examples:
  $ floe enrol ws0001
  $ floe enrol ws0001 --out ./ws0001.token
  $ floe enrol ws0001 --json | jq -r .token`,
    )
    .action((host: HostName, options: { out?: string }) => enrol(cli, host, options.out));
}

async function enrol(cli: Cli, host: HostName, file: string | undefined): Promise<void> {
  const { out } = cli;
  const api = await cli.api();
  const names = await hostNames(api);
  const made = await api.post(`/api/hosts/${host}/enrolment-tokens`, {}, EnrolmentTokenResponse);
  if (file !== undefined) await writeToken(file, made.token);
  if (cli.options().json === true) out.json(file === undefined ? made : { ...made, token: undefined, tokenFile: file });
  else out.print(formatEnrolment(made, file, viewOf(cli)));
  // Not refused: a machine may be enrolled before the commit that adds it.
  if (!names.includes(host))
    out.note(`no revision has a host ${host} yet: it waits for the commit that adds it${names.length === 0 ? '' : ` (${suggestion(host, names)})`}`);
}

async function writeToken(file: string, token: string): Promise<void> {
  try {
    await writeFileDurably(file, `${token}\n`, 0o600);
  } catch (cause) {
    throw new FloeError('USAGE', `the token cannot be written to ${file}: ${describeError(cause)}`, { cause });
  }
}
