import { printableLine, type Role } from '@floe/model';
import type { PauseView, RevisionView, RingView, RolloutHostsView } from '@floe/protocol';
import {
  ago,
  count,
  firstLine,
  hostsByPart,
  pauseInWords,
  ringParts,
  ringStateWords,
  ringWaitsFor,
  rolloutOrderWords,
  rolloutWords,
  shortSha,
  todoOfRollout,
  withShortPaths,
  type HostPart,
  type RingPart,
} from '@floe/views';
import { minuteTime } from './clock-time.ts';
import { formatBlock, formatTable, type Cell, type Tone, type View } from './terminal.ts';

/** A revision with its rollout. */
export type RolledOut = RevisionView & { readonly rollout: NonNullable<RevisionView['rollout']> };

const RING_TONES: Readonly<Record<RingView['state'], Tone>> = { passed: 'good', current: 'busy', 'to-come': 'quiet' };

/** A rollout by its rings, what blocks it, and what helps. `role`: of whoever asks. */
export function formatRollout({ sha, subject, rollout }: Pick<RolledOut, 'sha' | 'subject' | 'rollout'>, role: Role, view: View): string {
  const { style, now } = view;
  const { state, pause, freeze, stops, orders, rings, startedAt, description } = rollout;
  const isStopped = state === 'PAUSED' || state === 'ABORTED';
  const title = [
    style('strong', `${shortSha(sha)}  ${subject}`),
    `the rollout ${style(isStopped ? 'bad' : state === 'COMPLETE' ? 'good' : 'busy', rolloutWords({ state, rings }))}, begun ${ago(startedAt, now)}`,
    printableLine(description),
  ].join('\n');
  const parts = [title];
  if (rings.length > 0) parts.push(formatRings(rollout, view));
  if (pause !== null && pause.failures.length > 0) parts.push(formatPause(pause, view));
  if (freeze !== null)
    parts.push(
      `${style('bad', `Paused by ${freeze.by}`)} ${style('quiet', ago(freeze.at, now))}${freeze.until === null ? '' : `, until ${minuteTime(freeze.until)}`}\n${formatBlock(freeze.reason)}`,
    );
  for (const { label, by, reason, at, until } of stops)
    parts.push(
      `${style('bad', `Label ${label} paused by ${by}`)} ${style('quiet', ago(at, now))}${until === null ? '' : `, until ${minuteTime(until)}`}\n${formatBlock(reason)}`,
    );
  if (orders.length > 0) {
    const rows = orders.map(({ at, by, reason, ...order }): Cell[] => [
      { text: ago(at, now) },
      { text: by },
      { text: rolloutOrderWords(order) },
      { text: reason },
    ]);
    parts.push(formatTable(['WHEN', 'WHO', 'WHAT', 'WHY'], rows, view));
  }
  const todo = todoOfRollout(sha, rollout, role);
  if (todo !== null) parts.push(formatBlock(`→ ${todo}`, ''));
  return parts.join('\n\n');
}

/** The rings of a rollout, one a line. */
export function formatRings(rollout: RolledOut['rollout'], view: View): string {
  const rows = rollout.rings.map((ring): Cell[] => {
    const parts = new Map(ringParts(ring, rollout).map((each) => [each.part, each.count]));
    const of = (part: RingPart): number => parts.get(part) ?? 0;
    const some = (n: number, tone?: Tone): Cell => ({
      text: n === 0 ? '–' : n.toLocaleString('en'),
      ...(tone !== undefined && n > 0 ? { tone } : {}),
    });
    return [
      { text: ring.name, tone: RING_TONES[ring.state] },
      { text: ringStateWords(ring, rollout) },
      some(of('verified'), 'good'),
      some(of('under way'), 'busy'),
      some(of('waiting') + of('to come')),
      some(of('failed'), ring.counts.failed > 0 ? 'bad' : undefined),
      some(of('away')),
      { text: ringWaitsFor(ring, rollout, minuteTime) },
    ];
  });
  return formatTable(['RING', 'STATE', 'VERIFIED', 'UNDER WAY', 'WAITING', 'FAILED', 'AWAY', 'WAITS FOR'], rows, view, ['AWAY', 'WAITING']);
}

const PART_TONES: Readonly<Record<HostPart, Tone>> = {
  verified: 'good',
  'under way': 'busy',
  waiting: 'busy',
  failed: 'bad',
  away: 'quiet',
  'to come': 'quiet',
  'being built': 'quiet',
  'not asked': 'quiet',
};

/** Who is how far, one a line, in the order of the rings. */
export function formatRolloutHosts(hosts: RolloutHostsView['hosts'], rollout: Pick<RolledOut['rollout'], 'state' | 'rings'>, view: View): string {
  const rows = hostsByPart(hosts, rollout).flatMap(({ ring, part, hosts: some }) => {
    const tone = PART_TONES[part];
    return some
      .toSorted((a, b) => a.host.localeCompare(b.host, 'en', { numeric: true }))
      .map(({ host, text }): Cell[] => [{ text: ring }, { text: host }, { text: part, tone }, { text: withShortPaths(firstLine(text)) }]);
  });
  return formatTable(['RING', 'HOST', 'PART', 'WHY'], rows, view);
}

/** Why there is no line. */
export function noHostsWords(ring: string | undefined, { rings }: Pick<RolledOut['rollout'], 'rings'>): string {
  const evaluating = Math.max(0, ...rings.map((each) => each.evaluating));
  const late =
    evaluating === 0 ? '' : `; ${count(evaluating, 'host')} of the commit ${evaluating === 1 ? 'is' : 'are'} still evaluated, and may be of any ring`;
  return `the commit changes no host${ring === undefined ? '' : ` of ring ${ring}`}${late}`;
}

/** Who failed, why, and how its log ended. */
export function formatPause(pause: PauseView, { style }: Pick<View, 'style'>): string {
  return pauseInWords(pause)
    .map(({ host, text }) => `${style('bad', host)}\n${formatBlock(text)}`)
    .join('\n');
}
