import type { RingWindow } from '@floe/model';
import { DAY_MS } from './cron.ts';
import { subtractSpans, uniteSpans, type TimeSpan } from './time-spans.ts';
import { readWindowSpans, type WindowSpans } from './window-spans.ts';

/** The windows of a ring at one time. */
export interface RingWindowState {
  /** Changes may begin. */
  readonly isOpen: boolean;
  /** When that changes next; missing: not within {@link LOOK_AHEAD_DAYS}. */
  readonly changesAt?: number;
  /** What is wrong with windows that cannot be read. As long as there are any, changes do not begin. */
  readonly problem?: string;
}

/**
 * The windows of a ring, once for each time zone that they go by: changes may begin while any of these lists allows it. A window that goes
 * by each host's own time zone is a mistake here: `windowsOfRing()` comes before.
 */
export type GivenWindows = readonly (readonly RingWindow[])[];

/** How far ahead a change is looked for: a window that opens once a year is found. */
export const LOOK_AHEAD_DAYS = 400;
const STEPS_DAYS = [2, 16, 100] as const;
/** No deadline counts more than this, and a clock that jumps costs no more. */
const MAX_COUNTED_DAYS = 800;
/** So many pieces of windows are looked at at most, in about 0.1 s. Only dozens of windows that begin every few minutes have more in a year. */
const MAX_PIECES = 300_000;
const MIN_DAYS = 8;
/** How many mistakes a message lists. */
const MAX_PROBLEMS = 3;

/**
 * Whether changes may begin at `now`: a window allows it, or there is none that allows, and none denies it. A window that cannot be read
 * keeps the ring closed: it might be one that denies.
 */
export function ringWindowState(given: GivenWindows, now: number): RingWindowState {
  if (isUnlimited(given)) return { isOpen: true };
  const read = readGiven(given);
  if (read.kind === 'mistakes') return { isOpen: false, problem: read.problems.slice(0, MAX_PROBLEMS).join('; ') };
  let isOpen = false;
  for (const days of stepsUpTo(LOOK_AHEAD_DAYS, read)) {
    const end = now + days * DAY_MS;
    const [first] = read.openWithin({ from: now, to: end });
    isOpen = first?.from === now;
    const changesAt = isOpen ? first?.to : first?.from;
    if (changesAt !== undefined && changesAt < end) return { isOpen, changesAt };
  }
  return { isOpen };
}

/** For how long changes could begin between two times. A clock that went back counts nothing. */
export function openMsBetween(given: GivenWindows, from: number, to: number): number {
  if (to <= from) return 0;
  if (isUnlimited(given)) return to - from;
  const read = readGiven(given);
  if (read.kind === 'mistakes') return 0;
  const spans = read.openWithin({ from: Math.max(from, to - daysUpTo(MAX_COUNTED_DAYS, read) * DAY_MS), to });
  return spans.reduce((sum, span) => sum + span.to - span.from, 0);
}

/** When changes could have begun for `openMs` since `from`; undefined: not within {@link LOOK_AHEAD_DAYS}. */
export function timeAfterOpenMs(given: GivenWindows, from: number, openMs: number): number | undefined {
  if (isUnlimited(given)) return from + openMs;
  const read = readGiven(given);
  if (read.kind === 'mistakes') return undefined;
  for (const days of STEPS_DAYS) {
    let left = openMs;
    for (const span of read.openWithin({ from, to: from + days * DAY_MS })) {
      const length = span.to - span.from;
      if (length >= left) return span.from + left;
      left -= length;
    }
  }
  return undefined;
}

const YEAR_DAYS = 366;

/** What it means for a policy, as the rest of a sentence that begins with the windows. */
export const NEVER_OPENS = 'together they never open within a year, so the ring and those after it get no changes';

/** True when changes cannot begin within the year after `from`, as far as was looked. */
export function neverOpens(given: GivenWindows, from: number): boolean {
  if (isUnlimited(given)) return false;
  const read = readGiven(given);
  if (read.kind === 'mistakes') return true;
  return stepsUpTo(YEAR_DAYS, read).every((days) => read.openWithin({ from, to: from + days * DAY_MS }).length === 0);
}

/** Looks a little ahead first, because that is enough for most windows. */
function stepsUpTo(days: number, read: ReadSpans): readonly number[] {
  const most = daysUpTo(days, read);
  return [...STEPS_DAYS.filter((step) => step < most), most];
}

/** At most so many days, and fewer where there is very much to look at. */
function daysUpTo(days: number, { piecesPerDay }: ReadSpans): number {
  return Math.max(MIN_DAYS, Math.min(days, Math.floor(MAX_PIECES / Math.max(1, piecesPerDay))));
}

/** What is wrong with the windows of a ring, by their index: those that cannot be read, and those that are without effect for a year. */
export function windowProblems(windows: readonly RingWindow[], from: number): readonly { readonly index: number; readonly message: string }[] {
  const year = { from, to: from + YEAR_DAYS * DAY_MS };
  const read = windows.map((window) => readWindowSpans(window));
  const spansOf = (index: number): readonly TimeSpan[] => {
    const each = read[index];
    return each?.kind === 'spans' ? each.within(year) : [];
  };
  const denied = uniteSpans(
    windows.flatMap(({ kind }, index) => (kind === 'deny' ? [spansOf(index)] : [])),
    year,
  );
  return windows.flatMap((window, index) => {
    const each = read[index];
    if (each?.kind === 'mistake') return [{ index, message: `${nameOf(window)} ${each.said}` }];
    const spans = spansOf(index);
    if (spans.length === 0)
      return [
        { index, message: `${nameOf(window)} ${window.kind === 'allow' ? 'allows' : 'denies'} nothing within a year: there is no such day in it` },
      ];
    const isDenied = window.kind === 'allow' && subtractSpans(spans, denied).length === 0;
    return isDenied ? [{ index, message: `${nameOf(window)} never opens: windows that deny cover it for the whole year` }] : [];
  });
}

function nameOf({ cron, timeZone }: RingWindow): string {
  return `the window "${cron}" in ${timeZone}`;
}

interface ReadSpans {
  readonly kind: 'spans';
  readonly piecesPerDay: number;
  openWithin(span: TimeSpan): readonly TimeSpan[];
}

type ReadRing = ReadSpans | { readonly kind: 'mistakes'; readonly problems: readonly string[] };

function isUnlimited(given: GivenWindows): boolean {
  return given.some((windows) => windows.length === 0);
}

/** A list that cannot be read keeps only its own hosts from changing. */
function readGiven(given: GivenWindows): ReadRing {
  const read = given.map(readRingWindows);
  const spans = read.filter((each) => each.kind === 'spans');
  const [first] = spans;
  if (first === undefined) return { kind: 'mistakes', problems: read.flatMap((each) => (each.kind === 'mistakes' ? each.problems : [])) };
  if (spans.length === 1) return first;
  return {
    kind: 'spans',
    piecesPerDay: spans.reduce((sum, each) => sum + each.piecesPerDay, 0),
    openWithin: (span) =>
      uniteSpans(
        spans.map((each) => each.openWithin(span)),
        span,
      ),
  };
}

function readRingWindows(windows: readonly RingWindow[]): ReadRing {
  const read = windows.map((window) => ({ window, result: readWindowSpans(window) }));
  const problems = read.flatMap(({ window, result }) => (result.kind === 'mistake' ? [`${nameOf(window)} ${result.said}`] : []));
  if (problems.length > 0) return { kind: 'mistakes', problems };
  const ofKind = (kind: RingWindow['kind']): readonly WindowSpans[] =>
    read.flatMap(({ window, result }) => (window.kind === kind && result.kind === 'spans' ? [result] : []));
  const [allows, denies] = [ofKind('allow'), ofKind('deny')];
  return {
    kind: 'spans',
    piecesPerDay: [...allows, ...denies].reduce((sum, each) => sum + each.piecesPerDay, 0),
    openWithin(span) {
      const all = (some: readonly WindowSpans[]): readonly TimeSpan[] =>
        uniteSpans(
          some.map((each) => each.within(span)),
          span,
        );
      return subtractSpans(allows.length === 0 ? [span] : all(allows), all(denies));
    },
  };
}
