import { AuditEntryViews, AuditVerificationView } from '@floe/protocol';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { formatAudit, formatVerification } from '../view/audit.ts';
import { limitArgument, subjectArgument } from './arguments.ts';

export function addLog(program: Command, cli: Cli): void {
  program
    .command('log')
    .description('who decided what, and who was refused what, newest first')
    .option('--limit <n>', 'how many entries, at most 1000', limitArgument, 20)
    .option('--subject <name>', 'only what is about this host, commit or token', subjectArgument)
    .option('--verify', 'check that no entry was changed or removed, and say the first that does not fit')
    .addHelpText(
      'after',
      `
ACTOR is the name of a token, a host that enrolled, or floe-server. What a role may not do is refused and counted: one entry
for each token, action and day, with what it was about the last time.

Entries are chained by hashes, and the end of the chain is signed into the statement log every ten minutes. --verify computes all of it
again; the exit status is ${EXIT_CODES.failed} when it does not hold. How often something was refused, and the last subject of that, is not chained.

Examples:
  $ floe log
  $ floe log --subject ws0001
  $ floe log --verify
  $ floe log --subject 3f9c2ab --json | jq -r '.[] | [.actor, .action, .detail] | @tsv'`,
    )
    .action((options: { limit: number; subject?: string; verify?: true }) =>
      options.verify === true ? verifyLog(cli) : showLog(cli, options.limit, options.subject),
    );
}

async function verifyLog(cli: Cli): Promise<void> {
  const { out } = cli;
  const verification = await (await cli.api()).get('/api/audit/verification', AuditVerificationView);
  const isGood = verification.broken === null && verification.unsigned.length === 0;
  if (!isGood) cli.exitCode = EXIT_CODES.failed;
  if (cli.options().json === true) out.json(verification);
  else out.print(formatVerification(verification, viewOf(cli)));
}

async function showLog(cli: Cli, limit: number, subject: string | undefined): Promise<void> {
  const { out } = cli;
  const query = subject === undefined ? '' : `&subject=${encodeURIComponent(subject)}`;
  const entries = await (await cli.api()).get(`/api/audit?limit=${limit}${query}`, AuditEntryViews);
  if (cli.options().json === true) out.json(entries);
  else if (entries.length > 0) out.print(formatAudit(entries, viewOf(cli)));
  else out.note(subject === undefined ? 'nothing was decided yet' : `the log has nothing about ${subject}`);
}
