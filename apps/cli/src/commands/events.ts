import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { followFleet, readFleet, type FleetMessage } from '../fleet-stream.ts';
import { clockTime } from '../view/clock-time.ts';
import { createEventLines, type EventLine } from '../view/event-lines.ts';
import { duration } from '@floe/views';

export function addEvents(program: Command, cli: Cli): void {
  program
    .command('events')
    .description('the last change of everything, and with --follow each new one')
    .option('-f, --follow', 'stay, and show each change as it comes')
    .addHelpText(
      'after',
      `
One line per change: when, what, where it stands. With --json each line is a JSON object: first {"type":"snapshot",
"fleet":…} (again after each reconnect), then {"type":"host"|"revision"|"repository", …} with what replaces the old.
While the server is away it tries again, at growing intervals. Ends with Ctrl-C (exit status 0), or when the token is
no longer accepted.

Examples:
  $ floe events
  $ floe events --follow
  $ floe events --follow --json | jq -c 'select(.type == "host") | [.host.host, .host.standing]'`,
    )
    .action((options: { follow?: true }) => showEvents(cli, options.follow === true));
}

async function showEvents(cli: Cli, isFollowing: boolean): Promise<void> {
  const { deps, out } = cli;
  const api = await cli.api();
  const lines = createEventLines();

  function show(message: FleetMessage): void {
    if (cli.options().json === true) {
      out.json(message, true);
      return;
    }
    const changes = message.type === 'snapshot' ? lines.snapshot(message.fleet) : lines.change(message);
    for (const { at, text } of changes) out.print(`${out.style('quiet', timeColumn(at))}  ${text}`);
  }

  if (!isFollowing) {
    for await (const message of readFleet({ ...deps, api })) {
      show(message);
      if (message.type === 'snapshot') return;
    }
    return;
  }
  const messages = followFleet({
    ...deps,
    api,
    onLost: (reason, retryInMs) => out.note(`${reason}; trying again in ${duration(retryInMs)}`),
  });
  for await (const message of messages) show(message);
}

function timeColumn(at: EventLine['at']): string {
  return typeof at === 'number' ? clockTime(at) : at.padEnd(clockTime(0).length);
}
