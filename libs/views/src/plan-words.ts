import { isEndedRevision, isEndedRollout, type PlanHold } from '@floe/model';
import type { RevisionView, RingPlanView, StoppedPlanView, UnpublishedView } from '@floe/protocol';
import { nameMany } from './hosts-in-words.ts';
import { missingApprovalWords } from './rollout-words.ts';
import { count } from './text.ts';

/** What every time of a plan assumes. */
export const PLAN_ASSUMES = 'the earliest times: if hosts verify, and people approve, at once';

const HOLDS: Readonly<Record<PlanHold, string>> = {
  train: 'after the rollout before it',
  person: 'after a person resumes it',
  window: 'its window does not open within a year',
  accept: 'after a person accepts the commit',
  older: 'after the commit before it is finished',
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

/** Where a commit is that is not published yet, and what is not known of it: a sentence each. */
export function planUnpublished({ text, isListed, evaluating, building, failed }: UnpublishedView): readonly string[] {
  const is = (n: number): string => (n === 1 ? 'is' : 'are');
  return [
    `It is not published yet: ${text}.`,
    ...(isListed ? [] : ['Its policy and its hosts are not read yet: who gets it, and when, is known after that.']),
    ...(evaluating === 0
      ? []
      : [`${count(evaluating, 'host')} ${is(evaluating)} still evaluated, and in no ring below: whether it changes them is not known.`]),
    ...(building === 0 ? [] : [`${count(building, 'host')} ${is(building)} still to be built: the times are as if that was done.`]),
    ...(failed === 0
      ? []
      : [
          `${count(failed, 'host')} ${failed === 1 ? 'does' : 'do'} not evaluate or build, and ${failed === 1 ? 'keeps' : 'keep'} what ${failed === 1 ? 'it has' : 'they have'}.`,
        ]),
  ];
}

/** Something is to come of the commit. */
export function hasPlan({ state, rollout }: Pick<RevisionView, 'state' | 'rollout'>): boolean {
  return !isEndedRevision(state) || (rollout !== null && rollout.frozenAt === null && !isEndedRollout(rollout.state));
}

/** What shows the plan of a commit. */
export function planCommand(commit: string): string {
  return `floe rollout plan ${commit}`;
}

/** The approvals that it still needs. */
export function planNeeds({ missingApprovals }: RingPlanView): string {
  return missingApprovals === null ? '' : missingApprovalWords(missingApprovals);
}
