import type { CommitSha, HostName } from '@floe/protocol';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { suggestingHosts } from '../host-suggestions.ts';
import { shortSha } from '@floe/views';
import { acceptArgument, commitPrefixArgument, hostArgument, reasonArgument } from './arguments.ts';

interface ReasonOption {
  readonly reason: string;
}

const REASON = ['--reason <text>', 'why; kept in the history', reasonArgument] as const;

/** The commands by which an administrator decides something: each needs a reason. */
export function addSteering(program: Command, cli: Cli): void {
  program
    .command('revoke')
    .description("end a host's enrolment: its key is refused from now on")
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      '\nThe machine stays as it is. To bring it back: floe enrol HOST.\n\nExample:\n  $ floe revoke ws0001 --reason "stolen on the train"',
    )
    .action((host: HostName, { reason }: ReasonOption) => decideOnHost(cli, host, 'enrolment', reason, `${host} is revoked.`));

  program
    .command('retry')
    .description('let a host try again what it put back')
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
A host that rolled back keeps away from that toplevel until another one is released, or until this command. One that
is away is told when it is back. It also ends the quarantine of a host whose key was used by two machines: first make
sure that only the right one has it. Where there is nothing to try again, it says how the host is and changes nothing.

Example:
  $ floe retry ws0001 --reason "the license server is back"`,
    )
    .action((host: HostName, { reason }: ReasonOption) => decideOnHost(cli, host, 'quarantine', reason, `${host} may try again.`));

  program
    .command('resume')
    .description('bring a host back that is kept on another system by its user')
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
When somebody at a machine went back to the system before, or switched it by hand, its agent does not fight that: it
ends when another system is desired, after a day at least, or when they run: floe-agent resume. This command ends it
now, over their head: tell them first. It waits for no window, battery or session of the machine; only its policy about
restarts holds. One that is away is told when it is back.

Example:
  $ floe resume ws0001 --reason "the fix that Ada waited for is in"`,
    )
    .action((host: HostName, { reason }: ReasonOption) =>
      decideOnHost(cli, host, 'override', reason, `${host} is to go on with what the fleet wants.`),
    );

  program
    .command('accept')
    .description("let in a commit that is held (a force-push, or one with far fewer hosts), or believe the server's clock")
    .argument('<commit|clock>', 'the whole commit id, as floe status shows it; or the word "clock"', acceptArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
A server whose clock shows a time that it doubts says so in floe status; "clock" says that the clock is right now.

Examples:
  $ floe accept 3f9c2ab1d0e4c5b6a7988b9cadbecfd0e1f20314 --reason "history rewritten to drop a secret"
  $ floe accept clock --reason "it was set right by hand"`,
    )
    .action((accepted: CommitSha | 'clock', { reason }: ReasonOption) =>
      accepted === 'clock' ? acceptClock(cli, reason) : accept(cli, accepted, reason),
    );

  program
    .command('evaluate')
    .description('have the newest commit evaluated anew, by itself: after a mended builder, cache or input')
    .argument('<commit>', 'the newest commit, at least 7 digits of it', commitPrefixArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
A host whose input or source does not come is tried again by itself. What failed for good is tried once more by this.

Example:
  $ floe evaluate 3f9c2ab --reason "the builder for aarch64-linux is set up"`,
    )
    .action((sha: string, { reason }: ReasonOption) => evaluate(cli, sha, reason));
}

async function evaluate(cli: Cli, sha: string, reason: string): Promise<void> {
  const api = await cli.api();
  await api.send('POST', `/api/revisions/${sha}/evaluate`, { reason });
  confirm(cli, `${shortSha(sha)} is evaluated anew.`);
}

async function decideOnHost(cli: Cli, host: HostName, what: 'enrolment' | 'quarantine' | 'override', reason: string, done: string): Promise<void> {
  const api = await cli.api();
  await suggestingHosts(api, host, () => api.send('DELETE', `/api/hosts/${host}/${what}`, { reason }));
  confirm(cli, done);
}

async function accept(cli: Cli, commit: CommitSha, reason: string): Promise<void> {
  const api = await cli.api();
  await api.send('POST', '/api/repository/accept', { commit, reason });
  confirm(cli, `${shortSha(commit)} is let in.`);
}

async function acceptClock(cli: Cli, reason: string): Promise<void> {
  const api = await cli.api();
  await api.send('POST', '/api/server/clock', { reason });
  confirm(cli, "The server's clock is believed.");
}

function confirm(cli: Cli, done: string): void {
  if (cli.options().json === true) cli.out.json({ done: true });
  else cli.out.print(done);
}
