import {
  isBrieflyAway,
  isNotRolledOut,
  NOTHING_OBSERVED,
  offerOf,
  standingOf,
  storableText,
  type HostFacts,
  type HostName,
  type HostStanding,
  type RolloutHost,
} from '@floe/model';
import { factsOf } from './host-facts.ts';
import type { Evaluation, FleetHost, HostRow, Timestamp } from './records.ts';

/** The facts about the hosts of a published revision. */
export interface RolloutFacts {
  readonly evaluations: readonly Evaluation[];
  readonly hosts: ReadonlyMap<HostName, Pick<FleetHost, 'row' | 'desired' | 'quarantines'> & { readonly situation?: FleetHost['situation'] }>;
  readonly now: Timestamp;
  /** The rollout was aborted: no host's turn comes any more. */
  readonly isAborted?: boolean;
}

const NEVER_HEARD: Omit<HostFacts, 'offer' | 'desired'> = {
  observed: NOTHING_OBSERVED,
  state: 'IDLE',
  subject: undefined,
  isOverridden: false,
  isRetryPending: false,
  isConnected: false,
  enrolment: 'none',
};
const NOT_THERE = { row: undefined, desired: { kind: 'nothing' }, quarantines: [], situation: undefined } as const;
const MAX_REASON_CHARACTERS = 500;

/** The hosts of a published revision for its rollout, without those that it removed, that are not Floe's, and that nobody builds here. Pure. */
export function rolloutHosts({ evaluations, hosts, now, isAborted }: RolloutFacts): readonly RolloutHost[] {
  return evaluations
    .filter(({ outcome }) => !isNotRolledOut(outcome))
    .map((evaluation): RolloutHost => {
      const { host } = evaluation;
      const { row, desired, quarantines, situation } = hosts.get(host) ?? NOT_THERE;
      const offer = offerOf('PUBLISHED', evaluation, isAborted === true || isOrdered(situation, evaluation));
      const standing = standingOf(row === undefined ? { ...NEVER_HEARD, desired, offer } : factsOf(row, desired, offer));
      const reason = reasonOf(standing, evaluation, row, quarantines.find(({ toplevel }) => toplevel === evaluation.toplevel)?.reason);
      return {
        host,
        standing,
        reason: reason === undefined ? undefined : storableText(reason, MAX_REASON_CHARACTERS),
        isBrieflyAway: standing === 'away' && isBrieflyAway(row?.lastSeenAt ?? row?.enrolledAt, now),
      };
    });
}

/** A person quarantined what the revision has for the host. */
export function isOrdered(situation: FleetHost['situation'] | undefined, evaluation: Pick<Evaluation, 'toplevel'> | undefined): boolean {
  return evaluation?.toplevel !== undefined && situation?.ordered?.has(evaluation.toplevel) === true;
}

function reasonOf(
  standing: HostStanding,
  evaluation: Evaluation,
  row: HostRow | undefined,
  quarantineReason: string | undefined,
): string | undefined {
  const said = row?.detail?.message;
  // What the agent said of another system is not about this one.
  const saidOfIt = row?.stateToplevel === evaluation.toplevel ? said : undefined;
  switch (standing) {
    case 'behind':
      return evaluation.error;
    case 'rolled-back':
      return (row?.state === 'ROLLED_BACK' ? saidOfIt : undefined) ?? quarantineReason;
    case 'failed':
    case 'local-override':
      return said;
    case 'under-way':
    case 'waiting':
    case 'drifted':
    case 'removed':
    case 'not-built':
    case 'pinned':
    case 'trial':
    case 'not-enrolled':
    case 'not-ours':
    case 'no-release':
    case 'revoked':
    case 'cloned':
      return saidOfIt;
    case 'in-sync':
    case 'queued':
    case 'kept-back':
    case 'away':
      return undefined;
  }
}
