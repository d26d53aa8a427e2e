import { ClockAccepted, EvaluateAccepted, RolloutAnswer, type CommitSha, type HostName } from '@floe/protocol';
import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { suggestingHosts } from '../host-suggestions.ts';
import { decisionRequest, decisionWords, shortSha, type Decision } from '@floe/views';
import type { HostAction } from '@floe/model';
import { acceptArgument, commitPrefixArgument, hostArgument, REASON, seenArgument } from './arguments.ts';
import { confirm as confirmAnswer } from './pins.ts';

interface ReasonOption {
  readonly reason: string;
}

/** The commands by which an administrator decides something: each needs a reason. */
export function addSteering(program: Command, cli: Cli): void {
  program
    .command('revoke')
    .description("end a host's enrolment: its key is refused from now on")
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
The machine stays as it is, and gets nothing from this server any more. To bring it back: floe enrol HOST. When it is
gone permanently, remove it from the flake, and then: floe forget HOST.

Example:
  $ floe revoke ws0001 --reason "stolen on the train"`,
    )
    .action((host: HostName, { reason }: ReasonOption) => decideOnHost(cli, { kind: 'revoke', host }, reason));

  program
    .command('forget')
    .description('remove a host that was revoked and is no longer in the flake')
    .argument('<host>', 'the name of the host', hostArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
Its row and its reports are removed; the audit log keeps your reason. Quarantines stay: what it rolled back, and what was
quarantined on it, does not run on a machine that is enrolled under this name later. A host that was never enrolled
disappears by itself when a commit removes it from the flake.

Example:
  $ floe forget ws0001 --reason "scrapped"`,
    )
    .action((host: HostName, { reason }: ReasonOption) => decideOnHost(cli, { kind: 'forget', host }, reason));

  program
    .command('rename')
    .description('give an enrolled machine another name in the flake; it keeps its key, history, pins and quarantines')
    .argument('<old>', 'the name that the machine has', hostArgument)
    .argument('<new>', 'its name in the flake from now on', hostArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
First push a commit that has the new name in place of the old one, with services.floe.agent.formerHost = "OLD" in its
configuration. The machine takes the system of the new name when its turn comes; until then it goes on under the old one.

Example:
  $ floe rename ws0001 reception --reason "moved to the front desk"`,
    )
    .action(async (old: HostName, to: HostName, { reason }: ReasonOption) => {
      const api = await cli.api();
      confirmAnswer(cli, await suggestingHosts(api, old, () => api.post(`/api/hosts/${old}/rename`, { to, reason }, RolloutAnswer)));
    });

  program
    .command('retry')
    .description('let a host try again a system that it rolled back or refused')
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
A host that rolled back does not try that system again until another one is released, or until this command. A host that
is away is told when it connects. The command also ends the refusal of a key that two machines used: first make sure that
only the right one has the key. Where there is nothing to try again, it says how the host is and changes nothing.

Example:
  $ floe retry ws0001 --reason "the license server is back"`,
    )
    .action((host: HostName, { reason }: ReasonOption) => decideOnHost(cli, { kind: 'retry', host }, reason));

  program
    .command('resume')
    .description('have a host follow the fleet again that its user keeps on another system')
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
When somebody at a machine went back to an earlier system, or switched it by hand, its agent leaves it there until another
system is released, at the earliest after a day, or until they run: floe-agent resume. This command ends it now, against
their choice: tell them first. It does not wait for a maintenance window, the battery or people's sessions; only the
machine's policy about restarts still holds. A host that is away is told when it connects.

Example:
  $ floe resume ws0001 --reason "the fix that Ada waited for is in"`,
    )
    .action((host: HostName, { reason }: ReasonOption) => decideOnHost(cli, { kind: 'resume', host }, reason));

  program
    .command('accept')
    .description("accept a commit that is held (a force-push, or one with far fewer hosts), or the server's clock")
    .argument('<commit|clock>', 'the whole commit id, as floe status shows it; or the word "clock"', acceptArgument)
    .requiredOption(...REASON)
    .option('--seen <id>', 'what floe status showed: refused once the commit is held for another reason', seenArgument)
    .addHelpText(
      'after',
      `
What is accepted is the reason that floe status shows. A force-push that was accepted is held again where far fewer hosts are in
it, with the names of those that would go. With --seen, which floe status shows, nothing is accepted but what you looked at.

When the server doubts its own clock, floe status says so. Set the clock right first; "floe accept clock" then says that it
is right. Where nothing is held or doubted, the command says so and changes nothing.

Examples:
  $ floe accept 3f9c2ab1d0e4c5b6a7988b9cadbecfd0e1f20314 --seen=q3Vv0a8Kx_2e --reason "history rewritten to drop a secret"
  $ floe accept clock --reason "set by hand after the battery was replaced"`,
    )
    .action((accepted: CommitSha | 'clock', { reason, seen }: ReasonOption & { seen?: string }) =>
      accepted === 'clock' ? acceptClock(cli, reason) : accept(cli, { kind: 'accept', commit: accepted, seen }, reason),
    );

  program
    .command('evaluate')
    .description('evaluate the newest commit again, after a remote builder, cache or input was repaired')
    .argument('<commit>', 'the newest commit, at least 7 digits of it', commitPrefixArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
What may pass (an input or a source that cannot be downloaded) is retried automatically, and at once with this command. What
failed permanently is tried once more.

Example:
  $ floe evaluate 3f9c2ab --reason "the remote builder for aarch64-linux is set up"`,
    )
    .action((sha: string, { reason }: ReasonOption) => evaluate(cli, sha, reason));
}

async function evaluate(cli: Cli, sha: string, reason: string): Promise<void> {
  const api = await cli.api();
  const { outcome, ...accepted } = await api.post(`/api/revisions/${sha}/evaluate`, { reason }, EvaluateAccepted);
  const commit = shortSha(accepted.sha);
  confirm(cli, outcome === 'reopened' ? `${commit} is evaluated again.` : `${commit} was waiting, and is tried again now.`);
}

async function decideOnHost(cli: Cli, decision: { readonly kind: HostAction; readonly host: HostName }, reason: string): Promise<void> {
  const api = await cli.api();
  const { method, path, body } = decisionRequest(decision);
  await suggestingHosts(api, decision.host, () => api.send(method, path, { ...body, reason }));
  confirm(cli, decisionWords(decision).done);
}

async function accept(cli: Cli, decision: Extract<Decision, { kind: 'accept' }>, reason: string): Promise<void> {
  const api = await cli.api();
  const { method, path, body } = decisionRequest(decision);
  await api.send(method, path, { ...body, reason });
  confirm(cli, decisionWords(decision).done);
}

async function acceptClock(cli: Cli, reason: string): Promise<void> {
  const api = await cli.api();
  const { was, now } = await api.post('/api/server/clock', { reason }, ClockAccepted);
  const time = `${new Date(now).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
  confirm(
    cli,
    was === 'DIFFERS'
      ? `The server goes by its own clock (${time}), and expects the database's clock to differ as it does now.`
      : `The server goes by its machine's clock again: ${time}.`,
  );
}

function confirm(cli: Cli, done: string): void {
  if (cli.options().json === true) cli.out.json({ done: true });
  else cli.out.print(done);
}
