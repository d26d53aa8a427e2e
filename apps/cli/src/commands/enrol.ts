import { EnrolmentTokenResponse, type HostName } from '@floe/protocol';
import { writeFileDurably } from '@floe/runtime';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
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
key with it; the key never leaves the machine.

Examples:
  $ floe enrol ws0001
  $ floe enrol ws0001 --out ./ws0001.token && scp ./ws0001.token root@ws0001:/run/floe-token
  $ floe enrol ws0001 --json | jq -r .token`,
    )
    .action((host: HostName, options: { out?: string }) => enrol(cli, host, options.out));
}

async function enrol(cli: Cli, host: HostName, file: string | undefined): Promise<void> {
  const { out, deps } = cli;
  const api = await cli.api();
  const made = await api.post(`/api/hosts/${host}/enrolment-tokens`, {}, EnrolmentTokenResponse);
  if (file !== undefined) await writeFileDurably(file, `${made.token}\n`, 0o600);
  if (cli.options().json === true) {
    const { token, ...rest } = made;
    out.json(file === undefined ? made : { ...rest, tokenFile: file });
    return;
  }
  out.print(formatEnrolment(made, { now: deps.clock.now(), tokenFile: file }, out.style));
}
