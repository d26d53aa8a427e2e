import type { PlanHold } from '@floe/model';
import type { RingPlanView } from '@floe/protocol';
import { missingApprovalWords } from './rollout-words.ts';

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

/** The approvals that it still needs. */
export function planNeeds({ missingApprovals }: RingPlanView): string {
  return missingApprovals === null ? '' : missingApprovalWords(missingApprovals);
}
