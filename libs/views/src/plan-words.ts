import type { PlanHold } from '@floe/model';
import type { RingPlanView, StoppedPlanView } from '@floe/protocol';
import { nameMany } from './hosts-in-words.ts';
import { missingApprovalWords } from './rollout-words.ts';
import { count } from './text.ts';

/** What every time of a plan assumes. */
export const PLAN_ASSUMES = 'the earliest times: if hosts verify, and people approve, at once';

const HOLDS: Readonly<Record<PlanHold, string>> = {
  train: 'after the rollout before it',
  person: 'after a person resumes it',
  window: 'its window does not open within a year',
};

/** When a ring begins. `time` writes a time for whoever reads it. */
export function planBegins({ isSkipped, beginsAt, held }: RingPlanView, now: number, time: (at: number) => string): string {
  if (isSkipped) return 'skipped: no host of it changes';
  if (beginsAt === null) return held === null ? '' : HOLDS[held];
  return beginsAt === now ? 'now' : time(beginsAt);
}

/** When it has passed. */
export function planPasses({ passesAt, beginsAt, held }: RingPlanView, now: number, time: (at: number) => string): string {
  if (passesAt !== null) return passesAt === now ? 'now' : time(passesAt);
  return held === null || beginsAt === null ? '' : HOLDS[held];
}

/** Hosts whose label a person paused: what ends that for them. */
export function planStopped({ label, by, until, hosts, count: of }: StoppedPlanView, time: (at: number) => string): string {
  const end = until === null ? `somebody runs: floe rollout resume --label ${label} --reason "…"` : `the pause of ${by} ends, ${time(until)}`;
  // Those without a name are only counted.
  const names = Array.from({ length: of }, (_, index) => hosts[index] ?? '');
  return `${count(of, 'host')} with the label ${label} ${of === 1 ? 'waits' : 'wait'} until ${end} (${nameMany(names)})`;
}

/** The approvals that it still needs. */
export function planNeeds({ missingApprovals }: RingPlanView): string {
  return missingApprovals === null ? '' : missingApprovalWords(missingApprovals);
}
