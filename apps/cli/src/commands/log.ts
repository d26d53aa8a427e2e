import { AuditEntryViews } from '@floe/protocol';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { formatAudit } from '../view/audit.ts';
import { limitArgument, subjectArgument } from './arguments.ts';

export function addLog(program: Command, cli: Cli): void {
  program
    .command('log')
    .description('who decided what, and who was refused what, newest first')
    .option('--limit <n>', 'how many entries, at most 1000', limitArgument, 20)
    .option('--subject <name>', 'only what is about this host, commit or token', subjectArgument)
    .addHelpText(
      'after',
      `
ACTOR is the name of a token, a host that enrolled, or floe-server. What a role may not do is refused and counted: one entry
for each token, action and day, with what it was about the last time.

Examples:
  $ floe log
  $ floe log --subject ws0001
  $ floe log --subject 3f9c2ab --json | jq -r '.[] | [.actor, .action, .detail] | @tsv'`,
    )
    .action((options: { limit: number; subject?: string }) => showLog(cli, options.limit, options.subject));
}

async function showLog(cli: Cli, limit: number, subject: string | undefined): Promise<void> {
  const { out } = cli;
  const query = subject === undefined ? '' : `&subject=${encodeURIComponent(subject)}`;
  const entries = await (await cli.api()).get(`/api/audit?limit=${limit}${query}`, AuditEntryViews);
  if (cli.options().json === true) out.json(entries);
  else if (entries.length > 0) out.print(formatAudit(entries, viewOf(cli)));
  else out.note(subject === undefined ? 'nothing was decided yet' : `the log has nothing about ${subject}`);
}
