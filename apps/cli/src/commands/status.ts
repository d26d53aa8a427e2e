import { printableLine } from '@floe/model';
import { FleetView } from '@floe/protocol';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { formatAttention } from '../view/attention.ts';
import { minuteTime } from '../view/clock-time.ts';
import { formatRevision } from '../view/revision.ts';
import { formatFacts, type View } from '../view/terminal.ts';
import {
  ago,
  attentionOf,
  branchInWords,
  countsInWords,
  freezeInWords,
  presenceInWords,
  rolloutStateWords,
  shortSha,
  verdictOf,
  type Attention,
} from '@floe/views';

export function addStatus(program: Command, cli: Cli): void {
  program
    .command('status')
    .description('where the fleet stands: repository, newest revision, and what needs you')
    .option('--exit-code', `end with ${EXIT_CODES.needsAttention} when something needs a person`)
    .addHelpText(
      'after',
      `
The first line is the whole fleet in one; the page has the same. Hosts that are away, waiting, kept by their user or not
enrolled need nobody: they catch up in their time.

Examples:
  $ floe status
  $ floe status --exit-code || mail -s "the fleet needs you" admin@example.org
  $ floe status --json | jq -r '.attention[].message'`,
    )
    .action((options: { exitCode?: true }) => showStatus(cli, options.exitCode === true));
}

async function showStatus(cli: Cli, hasExitCode: boolean): Promise<void> {
  const { out } = cli;
  const api = await cli.api();
  const fleet = await api.get('/api/fleet', FleetView);
  const attention = attentionOf(fleet);
  if (cli.options().json === true) out.json({ ...fleet, verdict: verdictOf(fleet, attention).text, attention });
  else out.print(formatStatus(fleet, attention, { ...viewOf(cli), now: fleet.serverTime }));
  if (hasExitCode && attention.length > 0) cli.exitCode = EXIT_CODES.needsAttention;
}

function formatStatus(fleet: FleetView, attention: readonly Attention[], view: View): string {
  const { repository, revision } = fleet;
  const { now, style } = view;
  const { followed } = repository;
  const presence = presenceInWords(fleet.hosts);
  const looked = repository.lastFetchAt === null ? 'not fetched yet' : `fetched ${ago(repository.lastFetchAt, now)}`;
  const facts: (readonly [string, string])[] = [
    ['Repository', `${repository.url}  (${branchInWords(repository)}, ${looked})`],
    ...(repository.fetching === null
      ? []
      : [['Under way', `${repository.fetching.message} (begun ${ago(repository.fetching.since, now)})`] as const]),
    ['Accepted', acceptedText(repository)],
    ...(repository.freeze === null ? [] : [['Paused', `all rollouts, ${freezeInWords(repository.freeze, minuteTime)}`] as const]),
    ...repository.stops.map((stop) => ['Paused', `the label ${stop.label}, ${freezeInWords(stop, minuteTime)}`] as const),
    ...(followed === null
      ? []
      : [
          [
            'Rollout',
            printableLine(`${shortSha(followed.sha)} ${rolloutStateWords(followed.rollout.state)}: ${followed.rollout.description}`),
          ] as const,
        ]),
    ...(repository.advice === null ? [] : [['Advice', printableLine(repository.advice)] as const]),
    ['Hosts', fleet.hosts.length === 0 ? 'none yet' : countsInWords(fleet.hosts)],
    ...(presence === null ? [] : [['Connected', presence] as const]),
  ];
  const verdict = verdictOf(fleet, attention);
  const parts = [style(verdict.isFine ? 'good' : 'bad', verdict.text), formatFacts(facts, style)];
  if (revision !== null) parts.push(formatRevision(revision, view));
  if (attention.length > 0) parts.push(formatAttention(attention, view));
  return parts.join('\n\n');
}

/** A commit that has far fewer hosts is taken in and then held: it is not accepted until an administrator says so. */
function acceptedText({ acceptedCommit, held }: FleetView['repository']): string {
  if (acceptedCommit === null) return 'nothing yet';
  return held?.commit === acceptedCommit ? `${shortSha(acceptedCommit)} is held` : shortSha(acceptedCommit);
}
