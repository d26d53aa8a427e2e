import type { HostAction } from '@floe/model';
import { isRolloutDecision, rolloutCommand, rolloutDecisionWords, rolloutRequest, type RolloutDecision } from './rollout-decisions.ts';
import { acceptCommand } from './seen.ts';
import { shortSha } from './text.ts';
import { commandOf } from './todo.ts';

/** `seen`: why it was held when the person looked. */
interface Accept {
  readonly kind: 'accept';
  readonly commit: string;
  readonly seen?: string | undefined;
}

/** What a person decides, with a reason that is kept. */
export type Decision = { readonly kind: HostAction; readonly host: string } | Accept | RolloutDecision;

/** How the server is told, in the routes of its API; the reason is added to the body. */
export function decisionRequest(decision: Decision): {
  readonly method: 'POST' | 'DELETE';
  readonly path: `/api/${string}`;
  readonly body: Readonly<Record<string, string | number | boolean | undefined>>;
} {
  if (isRolloutDecision(decision)) return rolloutRequest(decision);
  if (decision.kind === 'accept') return { method: 'POST', path: '/api/repository/accept', body: { commit: decision.commit, seen: decision.seen } };
  if (decision.kind === 'deploy') return { method: 'POST', path: `/api/hosts/${encodeURIComponent(decision.host)}/deploy`, body: {} };
  const below = { retry: '/quarantine', resume: '/override', revoke: '/enrolment', forget: '' }[decision.kind];
  return { method: 'DELETE', path: `/api/hosts/${encodeURIComponent(decision.host)}${below}`, body: {} };
}

/** The command line that does the same. */
export function decisionCommand(decision: Decision): string {
  if (isRolloutDecision(decision)) return rolloutCommand(decision);
  return decision.kind === 'accept' ? acceptCommand(decision) : commandOf(decision.kind, decision.host);
}

/** Tells it from others beside it, and stays when what it is about moves on: whoever decides about what was seen is not interrupted. */
export function decisionKey(decision: Decision): string {
  if (isRolloutDecision(decision)) return rolloutCommand({ ...decision, seen: undefined, since: undefined });
  return decisionCommand(decision.kind === 'accept' ? { ...decision, seen: undefined } : decision);
}

/** It may have an end, at which it is over by itself. */
export function mayEnd({ kind }: Decision): boolean {
  return kind === 'pause-rollout';
}

/** The person names the label that it is about. */
export function needsLabel(decision: Decision): boolean {
  return decision.kind === 'pause-rollout' && decision.label !== undefined;
}

/** The same of this label. */
export function withLabel(decision: Decision, label: string): Decision {
  return needsLabel(decision) && decision.kind === 'pause-rollout' ? { ...decision, label } : decision;
}

/** The same with an end; undefined: it has none. */
export function withEnd(decision: Decision, until: number | undefined): Decision {
  return decision.kind === 'pause-rollout' ? { ...decision, until } : decision;
}

export interface DecisionWords {
  /** On its button. */
  readonly verb: string;
  readonly question: string;
  /** What comes of it, before it is confirmed. */
  readonly effect: string;
  /** When it is done; `floe` says the same. Null: the server's answer says it. */
  readonly done: string | null;
  /** It takes something away that does not come back by itself. */
  readonly isFinal: boolean;
}

/** A decision in words, for the page's dialog and for `floe`. */
export function decisionWords(decision: Exclude<Decision, RolloutDecision>): DecisionWords & { readonly done: string };
export function decisionWords(decision: Decision): DecisionWords;
export function decisionWords(decision: Decision): DecisionWords {
  if (isRolloutDecision(decision)) return { ...rolloutDecisionWords(decision), done: null };
  switch (decision.kind) {
    case 'retry':
      return {
        verb: 'Retry',
        question: `Have ${decision.host} try again?`,
        effect:
          'It tries the system again that it rolled back or refused. Where two machines used its key, the key is accepted again: make sure that only the right one has it.',
        done: `${decision.host} is told to try again.`,
        isFinal: false,
      };
    case 'resume':
      return {
        verb: 'Resume',
        question: `Have ${decision.host} follow the fleet again?`,
        effect: 'It leaves the system that somebody chose on the machine, at once and against their choice: tell them first.',
        done: `${decision.host} is told to follow the fleet again.`,
        isFinal: false,
      };
    case 'deploy':
      return {
        verb: 'Deploy now',
        question: `Have ${decision.host} take its update now?`,
        effect:
          'It passes over windows and its users’ “later”, five minutes after they are told. Rings, pauses, limits and an empty battery still hold it.',
        done: `${decision.host} is asked to take its update now.`,
        isFinal: false,
      };
    case 'revoke':
      return {
        verb: 'Revoke',
        question: `Revoke the enrolment of ${decision.host}?`,
        effect: 'The machine stays as it is, and gets nothing from this server any more. To bring it back, it is enrolled again.',
        done: `${decision.host} is revoked.`,
        isFinal: true,
      };
    case 'forget':
      return {
        verb: 'Forget',
        question: `Forget ${decision.host}?`,
        effect: 'Its row and its reports are removed; its quarantines stay, and the audit log keeps your reason.',
        done: `${decision.host} is forgotten.`,
        isFinal: true,
      };
    case 'accept':
      return {
        verb: 'Accept',
        question: `Accept the commit ${shortSha(decision.commit)}?`,
        effect: 'It goes on its way to the machines like any other commit.',
        done: `${shortSha(decision.commit)} is accepted.`,
        isFinal: false,
      };
  }
}
