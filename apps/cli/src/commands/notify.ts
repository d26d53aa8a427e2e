import { NotificationTargetViews, NotificationTested } from '@floe/protocol';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { formatTargets, formatTested } from '../view/notifications.ts';
import { targetNameArgument } from './arguments.ts';

export function addNotify(program: Command, cli: Cli): void {
  const notify = program
    .command('notify')
    .description('who is told when a rollout pauses or ends, or a commit or host fails')
    .addHelpText(
      'after',
      `
Notification targets are settings of the server (FLOE_NOTIFY_FILE): webhooks, Slack and what takes the same, Matrix, e-mail.`,
    );

  notify
    .command('list')
    .description('all notification targets, and what each is told of')
    .addHelpText(
      'after',
      `
Example:
  $ floe notify list`,
    )
    .action(() => list(cli));

  notify
    .command('test')
    .description('send a message that says that it is a test, and print what the target answered')
    .argument('<name>', 'a notification target, as floe notify list names it', targetNameArgument)
    .addHelpText(
      'after',
      `
The exit status is ${EXIT_CODES.failed} when it could not be sent.

Example:
  $ floe notify test ops`,
    )
    .action((name: string) => test(cli, name));
}

async function list(cli: Cli): Promise<void> {
  const { out } = cli;
  const targets = await (await cli.api()).get('/api/notifications', NotificationTargetViews);
  if (cli.options().json === true) out.json(targets);
  else if (targets.length > 0) out.print(formatTargets(targets, viewOf(cli)));
  else out.note('nobody is told: the server has no notification targets (FLOE_NOTIFY_FILE)');
}

async function test(cli: Cli, name: string): Promise<void> {
  const { out } = cli;
  const tested = await (await cli.api()).post(`/api/notifications/${encodeURIComponent(name)}/test`, {}, NotificationTested);
  if (cli.options().json === true) out.json(tested);
  else out.print(formatTested(name, tested));
  if (!tested.isSent) cli.exitCode = EXIT_CODES.failed;
}
