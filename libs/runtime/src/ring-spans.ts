import type { RingWindow } from '@floe/model';
import type { LookBudget } from './look-budget.ts';
import { subtractSpans, uniteSpans, type TimeSpan } from './time-spans.ts';
import { readWindowSpans, type WindowSpans } from './window-spans.ts';

/**
 * The windows of a ring, once for each time zone that they go by: changes may begin while any of these lists allows it. A window that goes
 * by each host's own time zone is a mistake here: `windowsOfRing()` comes before.
 */
export type GivenWindows = readonly (readonly RingWindow[])[];

/** Windows that were read, and can be asked when they are open. */
export interface ReadSpans {
  readonly kind: 'spans';
  readonly piecesPerDay: number;
  /** Undefined: the budget was spent before all was found. */
  openWithin(span: TimeSpan, budget: LookBudget): readonly TimeSpan[] | undefined;
}

export type ReadRing = ReadSpans | { readonly kind: 'mistakes'; readonly problems: readonly string[] };

/** There is no window, so changes may always begin. */
export function isUnlimited(given: GivenWindows): boolean {
  return given.some((windows) => windows.length === 0);
}

/** As a message says it. */
export function windowName({ cron, timeZone }: RingWindow): string {
  return `the window "${cron}" in ${timeZone}`;
}

/** A list that cannot be read keeps only its own hosts from changing. */
export function readGiven(given: GivenWindows): ReadRing {
  const read = given.map(readRingWindows);
  const spans = read.filter((each) => each.kind === 'spans');
  const [first] = spans;
  if (first === undefined) return { kind: 'mistakes', problems: read.flatMap((each) => (each.kind === 'mistakes' ? each.problems : [])) };
  if (spans.length === 1) return first;
  return {
    kind: 'spans',
    piecesPerDay: spans.reduce((sum, each) => sum + each.piecesPerDay, 0),
    openWithin: (span, budget) =>
      uniteFound(
        spans.map((each) => each.openWithin(span, budget)),
        span,
      ),
  };
}

function readRingWindows(windows: readonly RingWindow[]): ReadRing {
  const read = windows.map((window) => ({ window, result: readWindowSpans(window) }));
  const problems = read.flatMap(({ window, result }) => (result.kind === 'mistake' ? [`${windowName(window)} ${result.said}`] : []));
  if (problems.length > 0) return { kind: 'mistakes', problems };
  const ofKind = (kind: RingWindow['kind']): readonly WindowSpans[] =>
    read.flatMap(({ window, result }) => (window.kind === kind && result.kind === 'spans' ? [result] : []));
  const [allows, denies] = [ofKind('allow'), ofKind('deny')];
  return {
    kind: 'spans',
    piecesPerDay: [...allows, ...denies].reduce((sum, each) => sum + each.piecesPerDay, 0),
    openWithin(span, budget) {
      const united = (some: readonly WindowSpans[]): readonly TimeSpan[] | undefined =>
        uniteFound(
          some.map((each) => each.within(span, budget)),
          span,
        );
      const allowed = allows.length === 0 ? [span] : united(allows);
      const denied = united(denies);
      return allowed === undefined || denied === undefined ? undefined : subtractSpans(allowed, denied);
    },
  };
}

/** Undefined if one of them is: once the budget is spent, all that follow are, and cost nothing. */
function uniteFound(lists: readonly (readonly TimeSpan[] | undefined)[], within: TimeSpan): readonly TimeSpan[] | undefined {
  const found = lists.filter((each) => each !== undefined);
  return found.length < lists.length ? undefined : uniteSpans(found, within);
}
