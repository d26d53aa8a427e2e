import type { MissingApprovals, RolloutState } from '@floe/model';
import { count } from './text.ts';

/** Said of a rollout: "the rollout of 3f9c2ab1d0 is paused". */
const STATES: Readonly<Record<RolloutState, string>> = {
  WAITING_APPROVAL: 'waits for approval',
  READY: 'waits for its window',
  ROLLING: 'is under way',
  SOAKING: 'soaks',
  PAUSED: 'is paused',
  ABORTED: 'was aborted',
  COMPLETE: 'is complete',
  SUPERSEDED: 'was superseded',
};

export function rolloutStateWords(state: RolloutState): string {
  return STATES[state];
}

/** "1 more approval (approver or higher, not an author)" */
export function missingApprovalWords({ count: more, role, notAuthor, weaker }: MissingApprovals): string {
  const who = role === 'administrator' ? role : `${role} or higher`;
  const people = more === 0 ? [] : [`${count(more, 'more approval')} (${who}${notAuthor ? ', not an author' : ''})`];
  return [...people, ...(weaker.length === 0 ? [] : ['an administrator who approves its weaker policy'])].join(', and ');
}
