import type { FreezeView, HostView, ReportView } from '@floe/protocol';
import { formatBlock, formatFacts, formatTable, indent, type Cell, type Tone, type View } from './terminal.ts';
import { cutToWidth } from './width.ts';
import { printableLine } from '@floe/model';
import { clockTime } from './clock-time.ts';
import {
  awayWords,
  freezeWords,
  labelStopWords,
  needsAttention,
  orderWords,
  presenceName,
  presenceTone,
  reasonOf,
  shortTodoOf,
  standingTone,
  standingWords,
  submissionWords,
  todoOf,
  trialEndWords,
} from '@floe/views';
import { ago, commitWords, firstLine, percent, shortHash, shortSha, timingsText, withShortPaths, words } from '@floe/views';

/** A terminal has no tone between busy and bad: what warns is bad. */
function toneOf(host: HostView): Tone {
  const tone = needsAttention(host) ? 'bad' : standingTone(host.standing);
  return tone === 'warn' ? 'bad' : tone;
}

/** What the agent does, with how far a download is. */
export function stateText(host: HostView): string {
  const done = host.progress === null ? undefined : percent(host.progress);
  return done === undefined ? words(host.state) : `${words(host.state)} ${done} %`;
}

/** A subject as git wants it is no longer than 50; most of it tells it from others. */
const SUBJECT_COLUMNS = 40;

/** One line per host, sorted by name as people count (ws2 before ws10). */
export function formatHosts(hosts: readonly HostView[], view: View): string {
  const { now } = view;
  const rows = hosts
    .toSorted((a, b) => a.host.localeCompare(b.host, 'en', { numeric: true }))
    .map((host): Cell[] => [
      { text: host.host },
      { text: standingWords(host), tone: toneOf(host) },
      { text: host.isEnrolled ? stateText(host) : '' },
      { text: host.stateSince === null ? '' : ago(host.stateSince, now) },
      { text: host.runs === null ? '' : shortSha(host.runs.commit) },
      { text: cutToWidth(printableLine(host.runs?.subject ?? ''), SUBJECT_COLUMNS) },
      { text: host.desired === null ? '–' : shortHash(host.desired.toplevel) },
      { text: host.observed.current === null ? '–' : shortHash(host.observed.current) },
      seenCell(host, now),
      { text: shortTodoOf(host), tone: 'strong' },
      { text: withShortPaths(firstLine(reasonOf(host) ?? '')) },
    ]);
  return formatTable(['HOST', 'STANDING', 'STATE', 'SINCE', 'COMMIT', 'SUBJECT', 'DESIRED', 'RUNNING', 'SEEN', 'TODO', 'WHY'], rows, view, [
    'SUBJECT',
    'SINCE',
    'DESIRED',
    'RUNNING',
    'STATE',
    'SEEN',
    'COMMIT',
  ]);
}

/** The last words of a step that failed, and the report that they came with. */
export interface FailureLog {
  readonly report: ReportView;
  readonly log: string;
}

export interface HostSeen {
  readonly host: HostView;
  readonly reports: readonly ReportView[];
  readonly failure: FailureLog | null;
  /** A person's pause of all rollouts. */
  readonly freeze: FreezeView | null;
}

/** Everything known of one host. */
export function formatHost({ host, reports, failure, freeze }: HostSeen, view: View): string {
  const { desired, observed } = host;
  const { now, style } = view;
  const since = host.stateSince === null ? '' : `, ${ago(host.stateSince, now)}`;
  const facts: (readonly [string, string])[] = [
    ['Host', host.host],
    ['Standing', `${standingWords(host)}${standingSince(host, now)}`],
    ['State', `${stateText(host)}${since}`],
    ['Desired', desired?.toplevel ?? 'nothing yet'],
    ...(desired === null
      ? []
      : ([
          [
            '',
            `${desired.commit === null ? 'commit unknown' : commitWords({ commit: desired.commit, subject: desired.subject })} (sequence ${desired.sequence}, epoch ${desired.epoch}, ${ago(desired.since, now)})`,
          ],
        ] as const)),
    ['Running', observed.current ?? 'unknown'],
    ...(host.runs === null ? [] : ([['', `${commitWords(host.runs)} (sequence ${host.runs.sequence})`]] as const)),
    ['Booted', observed.booted ?? 'unknown'],
    ['Next boot', observed.profile === null ? 'unknown' : `${observed.profile.toplevel} (generation ${observed.profile.generation})`],
    ['Connection', connectionText(host, now)],
    ['Agent', host.agentVersion ?? 'unknown'],
    ['Machine id', host.machineId ?? 'unknown'],
  ];
  const parts = [formatFacts(facts, style)];
  const reason = reasonOf(host) ?? host.detail?.message;
  if (reason !== undefined) {
    const title = host.problem !== null ? style('bad', 'Problem') : style('quiet', reasonOf(host) === null ? 'Last word' : 'Why');
    parts.push(`${title}\n${formatBlock(reason)}`);
  }
  const orders = [...host.orders.map(orderWords), ...host.stops.map(labelStopWords), ...(freeze === null ? [] : [freezeWords(freeze)])];
  if (orders.length > 0) parts.push(`${style('strong', 'Ordered')}\n${formatBlock(orders.join('\n'))}`);
  if (host.lastTrial !== null)
    parts.push(`${style('strong', 'Last trial')} ${style('quiet', ago(host.lastTrial.endedAt, now))}\n${formatBlock(trialEndWords(host.lastTrial))}`);
  if (host.submission !== null) parts.push(`${style('strong', 'Store path')}\n${formatBlock(submissionWords(host.submission))}`);
  const todo = todoOf(host);
  if (todo !== null) parts.push(`${style('strong', 'What to do')}\n${formatBlock(todo)}`);
  if (failure !== null) {
    const { report, log } = failure;
    parts.push(`${style('strong', 'Log')} ${style('quiet', `of ${ago(report.receivedAt, now)}, ${words(report.state)}`)}\n${formatBlock(log)}`);
  }
  if (reports.length > 0) parts.push(`${style('strong', 'Last reports')}\n${formatReports(reports, view)}`);
  return parts.join('\n\n');
}

/** Since when a host waits, or is kept by its user. */
function standingSince({ standing, stateSince }: HostView, now: number): string {
  if (stateSince === null || (standing !== 'waiting' && standing !== 'local-override')) return '';
  return ` since ${clockTime(stateSince)} (${ago(stateSince, now)})`;
}

function connectionText(host: HostView, now: number): string {
  const { lastSeenAt } = host;
  const away = awayWords(host);
  if (away === null) return 'connected';
  return lastSeenAt === null ? 'never seen' : `${away} ${clockTime(lastSeenAt)} (${ago(lastSeenAt, now)})`;
}

function seenCell({ isConnected, lastSeenAt, presence }: HostView, now: number): Cell {
  const seen = isConnected ? 'now' : lastSeenAt === null ? 'never' : ago(lastSeenAt, now);
  if (isConnected || presence === 'online' || presence === 'away') return { text: seen };
  const tone = presenceTone(presence);
  return { text: `${seen}, ${presenceName(presence)}`, tone: tone === 'warn' ? 'busy' : tone };
}

function formatReports(reports: readonly ReportView[], view: View): string {
  const { now } = view;
  const rows = reports.map((report): Cell[] => [
    { text: ago(report.receivedAt, now) },
    { text: words(report.state) },
    { text: report.toplevel === null ? '' : shortHash(report.toplevel) },
    { text: report.observed.current === null ? '' : shortHash(report.observed.current) },
    { text: timingsText(report.timings) },
    { text: firstLine(report.detail?.message ?? '') },
  ]);
  const inner = { ...view, columns: view.columns === undefined ? undefined : view.columns - 2 };
  return indent(formatTable(['WHEN', 'STATE', 'ABOUT', 'RUNNING', 'TOOK', 'DETAIL'], rows, inner, ['TOOK', 'RUNNING', 'ABOUT']));
}
