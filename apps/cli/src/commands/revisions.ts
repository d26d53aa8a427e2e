import { RevisionView } from '@floe/protocol';
import type { Command } from 'commander';
import * as v from 'valibot';
import { viewOf, type Cli } from '../cli.ts';
import { formatRevision } from '../view/revision.ts';
import { formatPause, formatRings } from '../view/rollout.ts';
import { formatBlock, formatTable, type Cell, type View } from '../view/terminal.ts';
import { ago, duration, hasFailed, isRinged, outcomeWords, revisionWords, shortHash, shortSha, standingName } from '@floe/views';
import { commitPrefixArgument, limitArgument } from './arguments.ts';

export function addRevisions(program: Command, cli: Cli): void {
  program
    .command('revisions')
    .description('the commits taken in, or what one of them meant for each host')
    .argument('[sha]', 'a commit, at least 7 digits of it', commitPrefixArgument)
    .option('--limit <n>', 'how many to list', limitArgument, 20)
    .addHelpText(
      'after',
      `
Examples:
  $ floe revisions
  $ floe revisions 3f9c2ab
  $ floe revisions 3f9c2ab --json | jq -r '.hosts[] | select(.error) | .host'`,
    )
    .action((sha: string | undefined, options: { limit: number }) =>
      sha === undefined ? listRevisions(cli, options.limit) : showRevision(cli, sha),
    );
}

async function listRevisions(cli: Cli, limit: number): Promise<void> {
  const { out } = cli;
  const revisions = await (await cli.api()).get(`/api/revisions?limit=${limit}`, v.array(RevisionView));
  if (cli.options().json === true) {
    out.json(revisions);
    return;
  }
  if (revisions.length === 0) {
    out.note('no revisions yet: push a commit to the tracked branch');
    return;
  }
  const view = viewOf(cli);
  const rows = revisions.map((revision): Cell[] => [
    { text: String(revision.sequence) },
    { text: shortSha(revision.sha) },
    { text: ago(revision.receivedAt, view.now) },
    { text: revisionWords(revision), ...(hasFailed(revision) ? { tone: 'bad' as const } : {}) },
    { text: revision.publishedAt === null ? '' : duration(revision.publishedAt - revision.receivedAt) },
    { text: revision.rollout === null ? '' : revision.rollout.description },
    { text: revision.subject },
  ]);
  out.print(
    formatTable(['SEQ', 'COMMIT', 'RECEIVED', 'STATE', 'PUBLISHED IN', 'ROLLOUT', 'SUBJECT'], rows, view, [
      'PUBLISHED IN',
      'ROLLOUT',
      'SEQ',
      'RECEIVED',
    ]),
  );
}

async function showRevision(cli: Cli, sha: string): Promise<void> {
  const { out } = cli;
  const revision = await (await cli.api()).get(`/api/revisions/${sha}`, RevisionView);
  if (cli.options().json === true) out.json(revision);
  else out.print(formatRevisionInFull(revision, viewOf(cli)));
}

function formatRevisionInFull(revision: RevisionView, view: View): string {
  const { style } = view;
  const parts = [formatRevision(revision, view), `${style('quiet', 'commit')} ${revision.sha}`];
  if (revision.error !== null) parts.push(`${style('bad', 'Error')}\n${formatBlock(revision.error)}`);
  if (revision.warnings.length > 0) parts.push(`${style('busy', 'Warnings')}\n${formatBlock(revision.warnings.join('\n'))}`);
  if (revision.rollout !== null && isRinged(revision.rollout)) parts.push(formatRings(revision.rollout, view));
  const pause = revision.rollout?.pause ?? null;
  if (pause !== null && pause.failures.length > 0) parts.push(formatPause(pause, view));
  if (revision.hosts.length > 0) parts.push(formatOutcomes(revision, view));
  for (const host of revision.hosts) {
    const again = host.retryAt === null ? '' : `  ${style('quiet', 'is retried automatically')}`;
    if (host.error !== null) parts.push(`${style('bad', host.host)}${again}\n${formatBlock(host.error)}`);
    if (host.warnings.length > 0) parts.push(`${style('busy', `${host.host} warns`)}\n${formatBlock(host.warnings.join('\n'))}`);
  }
  // A host that the commit fails for has its error above.
  const failed = new Set(revision.hosts.filter(({ error }) => error !== null).map(({ host }) => host));
  for (const { host, standing, reason } of revision.rollout?.hosts ?? [])
    if (reason !== null && !failed.has(host)) parts.push(`${style('bad', host)}  ${style('quiet', standingName(standing))}\n${formatBlock(reason)}`);
  return parts.join('\n\n');
}

function formatOutcomes(revision: RevisionView, view: View): string {
  const rows = revision.hosts.map((host): Cell[] => [
    { text: host.host },
    { text: host.outcome === null ? 'not known yet' : outcomeWords(host.outcome), ...(host.error === null ? {} : { tone: 'bad' as const }) },
    { text: host.evaluateMs === null ? '' : duration(host.evaluateMs) },
    { text: host.buildMs === null ? '' : duration(host.buildMs) },
    { text: host.toplevel === null ? '–' : shortHash(host.toplevel) },
  ]);
  return formatTable(['HOST', 'OUTCOME', 'EVALUATED', 'BUILT', 'TOPLEVEL'], rows, view, ['BUILT', 'EVALUATED']);
}
