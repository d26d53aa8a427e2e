import { isEndedRollout, type Action } from '@floe/model';
import type { RepositoryView, RevisionView, RingView, RolloutOrderView, RolloutView } from '@floe/protocol';
import { seenOption } from './seen.ts';
import { shortSha } from './text.ts';

/** What a person asks of the rollout that hosts follow, named by what their role must allow. */
export type RolloutDecision =
  /** All rollouts, not only this one; with `label` only the hosts that have it, and {@link ANY_LABEL} until the person has named it. */
  | { readonly kind: 'pause-rollout'; readonly until?: number | undefined; readonly label?: string }
  /** `since`: when the pause began that the person saw. `label`: ends the pause of its hosts alone. */
  | { readonly kind: 'resume-rollout'; readonly since?: number | undefined; readonly label?: string }
  /** `seen`: what the person saw that there is to approve. */
  | { readonly kind: 'approve-rollout'; readonly commit: string; readonly ring: string; readonly seen?: string | undefined }
  /** `revert`: hosts that were told it go back to stable. */
  | { readonly kind: 'abort-rollout'; readonly commit: string; readonly revert: boolean }
  /** `now`: it does not wait for verified hosts either. */
  | { readonly kind: 'hotfix-rollout'; readonly commit: string; readonly now?: true }
  /** Of the newest commit, which was refused for a policy below the floor of the server's settings. */
  | { readonly kind: 'break-glass'; readonly commit: string };

/** A pause of a label that the person has yet to name. */
export const ANY_LABEL = '';

type Kind = Extract<Action, RolloutDecision['kind']>;

const VERBS = {
  'pause-rollout': 'pause',
  'resume-rollout': 'resume',
  'approve-rollout': 'approve',
  'abort-rollout': 'abort',
  'hotfix-rollout': 'hotfix',
  'break-glass': 'break-glass',
} as const satisfies Readonly<Record<Kind, string>>;

/** Their commands take a commit as argument. */
const NAMES_COMMIT: ReadonlySet<Kind> = new Set<Kind>(['abort-rollout', 'hotfix-rollout', 'break-glass']);

export function isRolloutDecision(decision: { readonly kind: string }): decision is RolloutDecision {
  return decision.kind in VERBS;
}

/** The command line that does the same. */
export function rolloutCommand(decision: {
  readonly kind: Kind;
  readonly commit?: string;
  readonly revert?: boolean;
  readonly now?: true;
  readonly label?: string;
  readonly seen?: string | undefined;
  readonly since?: number | undefined;
}): string {
  const { kind, commit, revert, now, label, seen, since } = decision;
  const words = [
    VERBS[kind],
    // Without it the command is about whatever hosts follow by then, such as the fix.
    ...(commit !== undefined && NAMES_COMMIT.has(kind) ? [shortSha(commit)] : []),
    ...(revert === true ? ['--revert'] : []),
    ...(now === true ? ['--now'] : []),
    ...(seen === undefined ? [] : [seenOption(seen)]),
    ...(since === undefined ? [] : [`--seen=${since}`]),
    ...(label === undefined ? [] : [`--label ${label === ANY_LABEL ? 'LABEL' : label}`]),
  ];
  return `floe rollout ${words.join(' ')} --reason "…"`;
}

export function rolloutRequest({ kind, ...about }: RolloutDecision) {
  return { method: 'POST', path: `/api/rollout/${VERBS[kind]}`, body: about } as const;
}

/** What can be decided now about the rollout of a revision; with `person`, by that one. */
export function rolloutDecisions({ sha, rollout }: Pick<RevisionView, 'sha' | 'rollout'>, person?: string): readonly RolloutDecision[] {
  // A frozen one is not the one that hosts follow.
  if (rollout === null || rollout.frozenAt !== null || rollout.rings.length === 0) return [];
  const { state, pause, freeze, stops, rings, orders } = rollout;
  const isOver = isEndedRollout(state);
  const isAsked = (kind: 'abort' | 'hotfix'): boolean => orders.some((order) => order.kind === kind);
  const current = rings.find((ring) => ring.state === 'current');
  const decisions: RolloutDecision[] = [];
  const missing = current?.missingApprovals ?? null;
  if (!isOver && current !== undefined && missing !== null && (person === undefined || !missing.notAsked.includes(person)))
    decisions.push({ kind: 'approve-rollout', commit: sha, ring: current.name, seen: missing.seen });
  if (freeze !== null || (state === 'PAUSED' && pause !== null)) decisions.push({ kind: 'resume-rollout', since: freeze?.at ?? pause?.since });
  for (const { label, at } of stops) decisions.push({ kind: 'resume-rollout', label, since: at });
  // A pause holds up commits to come, too: also before the next one is pushed.
  if (freeze === null) decisions.push({ kind: 'pause-rollout' });
  decisions.push({ kind: 'pause-rollout', label: ANY_LABEL });
  if (!isOver && !isAsked('hotfix') && rings.some(hasToWait)) decisions.push({ kind: 'hotfix-rollout', commit: sha });
  if (!isOver && isUnproved(rings) && !orders.some(({ now }) => now === 'counts')) decisions.push({ kind: 'hotfix-rollout', commit: sha, now: true });
  if (!isOver && !isAsked('abort')) decisions.push({ kind: 'abort-rollout', commit: sha, revert: false });
  const isReverted = orders.some(({ kind, isRevert }) => kind === 'abort' && isRevert === true);
  if ((!isOver || state === 'ABORTED') && !isReverted) decisions.push({ kind: 'abort-rollout', commit: sha, revert: true });
  return decisions;
}

/** What can be decided about people's pauses, where there is no rollout to show. */
export function pauseDecisions({ freeze, stops }: Pick<RolloutView, 'freeze' | 'stops'>): readonly RolloutDecision[] {
  return [
    ...(freeze === null ? [] : [{ kind: 'resume-rollout', since: freeze.at } as const]),
    ...stops.map(({ label, at }) => ({ kind: 'resume-rollout', label, since: at }) as const),
  ];
}

/** What can be decided now about a commit, whoever looks, besides its rollout. `isNewest`: none came after it. */
export function revisionDecisions(
  { sha, isHeld, isBelowFloor }: Pick<RevisionView, 'sha' | 'isHeld' | 'isBelowFloor'>,
  isNewest: boolean,
  held: RepositoryView['held'] = null,
) {
  return [
    ...(isHeld ? [{ kind: 'accept', commit: sha, seen: held?.commit === sha ? held.seen : undefined } as const] : []),
    ...(isBelowFloor && isNewest ? [{ kind: 'break-glass', commit: sha } as const] : []),
  ];
}

/** What somebody asked of a rollout. */
export function rolloutOrderWords({ kind, ring, isRevert, now }: Pick<RolloutOrderView, 'kind' | 'ring' | 'isRevert' | 'now'>): string {
  if (ring !== null) return `${kind} ${ring}`;
  const second = now === 'waits' ? ' (waits for a second person)' : '';
  return `${kind}${isRevert === true ? ' --revert' : ''}${now === undefined ? '' : ' --now'}${second}`;
}

/** For a soak or a window, which a hotfix passes over. */
function hasToWait({ state, soakMs, opensAt }: RingView): boolean {
  return state !== 'passed' && (soakMs > 0 || opensAt !== null);
}

/** No ring has verified hosts yet, and one before the last is asked for them, which a hotfix --now passes over. */
function isUnproved(rings: readonly RingView[]): boolean {
  const current = rings.findIndex(({ state }) => state === 'current');
  return current >= 0 && current < rings.length - 1 && rings.slice(0, current).every(({ counts }) => counts.verified === 0);
}

/** Whether the rings say more than the counts of the whole rollout do: there are several, or something stops or delays the only one. */
export function isRinged({ state, rings, pause, freeze, stops }: RolloutView): boolean {
  return (
    rings.length > 1 ||
    (rings.length === 1 && (pause !== null || freeze !== null || stops.length > 0 || !['ROLLING', 'COMPLETE', 'SUPERSEDED'].includes(state)))
  );
}

/** For the dialog that asks for the reason. What comes of it the server says, as to `floe`. */
export function rolloutDecisionWords(decision: RolloutDecision) {
  switch (decision.kind) {
    case 'pause-rollout':
      if (decision.label !== undefined)
        return {
          verb: 'Pause a label',
          question: 'Pause the hosts that have a label?',
          effect:
            'Hosts that have the label begin nothing, also those that get it later; those that have begun finish, and the rings go on without them. It lasts until its end, or until somebody resumes.',
          isFinal: false,
        };
      return {
        verb: 'Pause',
        question: 'Pause all rollouts?',
        effect: 'No host begins any more, also for commits to come; those that have begun finish. It lasts until its end, or until somebody resumes.',
        isFinal: false,
      };
    case 'resume-rollout':
      if (decision.label !== undefined)
        return {
          verb: `Resume ${decision.label}`,
          question: `Let hosts with the label ${decision.label} go on?`,
          effect: 'They get what their ring has passed by now, within its gates and limits. Other pauses stay.',
          isFinal: false,
        };
      return {
        verb: 'Resume',
        question: 'Let the rollout go on?',
        effect:
          decision.since === undefined
            ? 'The pause ends, for all commits. A rollout that has also paused by itself stays paused.'
            : 'What the pause is about (failures, answers of probes) counts no more, and only something else pauses it again.',
        isFinal: false,
      };
    case 'approve-rollout':
      return {
        verb: `Approve ${decision.ring}`,
        question: `Approve ring ${decision.ring} of ${shortSha(decision.commit)}?`,
        effect: 'The ring begins when it has all the approvals that it needs. The same person counts once.',
        isFinal: false,
      };
    case 'abort-rollout':
      if (decision.revert)
        return {
          verb: 'Abort and revert',
          question: `Bring the hosts back that run ${shortSha(decision.commit)}?`,
          effect:
            'Its rollout is aborted, and the hosts that were told it go back to what the last complete rollout gave them: within the limits, over windows, and when they return if they are away.',
          isFinal: true,
        };
      return {
        verb: 'Abort',
        question: `Abort the rollout of ${shortSha(decision.commit)}?`,
        effect: 'Hosts that run it keep it, and no other host gets it. That is final for this commit; the next one is rolled out as usual.',
        isFinal: true,
      };
    case 'break-glass':
      return {
        verb: 'Break the glass',
        question: `Let ${shortSha(decision.commit)} pass below the floor of the server's settings?`,
        effect:
          'Only this commit passes, under the gates of its own policy, and all who are told of such things are told. Where there is another administrator, a second person has to ask for the same.',
        isFinal: true,
      };
    case 'hotfix-rollout':
      if (decision.now === true)
        return {
          verb: 'Hotfix now',
          question: `Begin ${shortSha(decision.commit)} in all rings at once?`,
          effect:
            'Its rollout passes over soaks, windows and the wait for verified hosts. Approvals, error gates, limits and pauses hold as before. Where the policy has approvals, a second administrator, another person, has to ask for the same.',
          isFinal: true,
        };
      return {
        verb: 'Hotfix',
        question: `Make ${shortSha(decision.commit)} a hotfix?`,
        effect: 'Its rollout passes over soaks and windows. Approvals, gates, limits and pauses hold as before.',
        isFinal: false,
      };
  }
}
