import {
  isBrieflyAway,
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
  readonly hosts: ReadonlyMap<HostName, Pick<FleetHost, 'row' | 'desired' | 'quarantines'>>;
  readonly now: Timestamp;
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
const NOT_THERE = { row: undefined, desired: { kind: 'nothing' }, quarantines: [] } as const;
const MAX_REASON_CHARACTERS = 500;

/** The hosts of a published revision for its rollout, without those that it removed. Pure. */
export function rolloutHosts({ evaluations, hosts, now }: RolloutFacts): readonly RolloutHost[] {
  return evaluations
    .filter(({ outcome }) => outcome !== 'REMOVED')
    .map((evaluation): RolloutHost => {
      const { host } = evaluation;
      const { row, desired, quarantines } = hosts.get(host) ?? NOT_THERE;
      const offer = offerOf('PUBLISHED', evaluation);
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

function reasonOf(standing: HostStanding, evaluation: Evaluation, row: HostRow | undefined, putBack: string | undefined): string | undefined {
  if (standing === 'behind') return evaluation.error;
  const isAboutIt = row?.stateToplevel === evaluation.toplevel;
  if (standing === 'rolled-back') return (isAboutIt && row?.state === 'ROLLED_BACK' ? row.detail?.message : undefined) ?? putBack;
  if (standing === 'in-sync' || standing === 'away') return undefined;
  return isAboutIt || standing === 'local-override' || standing === 'failed' ? row?.detail?.message : undefined;
}
