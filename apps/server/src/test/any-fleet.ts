import {
  AGENT_STATES,
  DEFAULT_PRESENCE,
  EVALUATION_OUTCOMES,
  NOTHING_OBSERVED,
  offerOf,
  presenceOf,
  type Desired,
  type HostName,
  type StorePath,
} from '@floe/model';
import type { Evaluation, HostRow } from '@floe/store';
import fc from 'fast-check';
import { presenceFactsOf, viewHost } from '../fleet-view.ts';

const NOW = 1_790_000_000_000;
const path = (name: string): StorePath => `/nix/store/${name.padEnd(32, '0')}-system` as StorePath;
export const [wanted, other] = [path('wanted'), path('other')];
export const runs = (toplevel: StorePath) => ({ current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } });

export interface GivenHost {
  readonly row: HostRow;
  readonly desired: Desired;
  readonly evaluation: Evaluation;
}

/** The facts of a host, whatever they are. */
export const anyHost = fc.record({
  enrolment: fc.constantFrom('none', 'enrolled', 'enrolled', 'enrolled', 'revoked', 'cloned'),
  isConnected: fc.boolean(),
  silentMs: fc.constantFrom(0, DEFAULT_PRESENCE.staleMs, DEFAULT_PRESENCE.lostMs),
  observed: fc.constantFrom(NOTHING_OBSERVED, runs(wanted), runs(other)),
  state: fc.constantFrom(...AGENT_STATES),
  subject: fc.constantFrom(wanted, wanted, other, undefined),
  isOverridden: fc.boolean(),
  isRetryPending: fc.boolean(),
  desired: fc.constantFrom('nothing', 'release', 'release', 'quarantined', 'pin'),
  outcome: fc.constantFrom('CHANGED', 'CHANGED', ...EVALUATION_OUTCOMES),
});

export function toHost(facts: typeof anyHost extends fc.Arbitrary<infer Facts> ? Facts : never, index: number): GivenHost {
  const host = `ws${index}` as HostName;
  const toplevel = facts.desired === 'pin' ? other : wanted;
  const release = { id: 'r', host, sequence: 1, toplevel };
  const desired: Desired =
    facts.desired === 'nothing'
      ? { kind: 'nothing' }
      : facts.desired === 'quarantined'
        ? { kind: 'quarantined', release }
        : { kind: 'release', release, because: facts.desired === 'pin' ? 'pin' : 'rollout' };
  const row: HostRow = {
    host,
    repositoryId: '1',
    publicKey: facts.enrolment === 'none' ? undefined : 'key',
    enrolledAt: facts.enrolment === 'none' ? undefined : 1,
    revokedAt: facts.enrolment === 'revoked' ? 2 : undefined,
    clonedAt: facts.enrolment === 'cloned' ? 2 : undefined,
    desired: { releaseId: 'r', toplevel, sequence: 1, epoch: 3, since: 1 },
    epoch: 3,
    retryEpoch: facts.isRetryPending ? 3 : undefined,
    observed: facts.observed,
    state: facts.state,
    stateToplevel: facts.subject,
    stateSince: 5,
    detail: facts.isOverridden ? { code: 'LOCAL_OVERRIDE', message: 'its user went back' } : undefined,
    isConnected: facts.isConnected,
    lastSeenAt: NOW - facts.silentMs,
    acceptedSequence: 0,
    reportSeq: 0,
  };
  const { outcome } = facts;
  const isError = outcome === 'EVAL_ERROR' || outcome === 'BUILD_ERROR';
  return { row, desired, evaluation: { host, outcome, toplevel: wanted, error: isError ? 'it is broken' : undefined } };
}

/** As the server shows it. */
export function viewOf({ row, desired, evaluation }: GivenHost) {
  const offer = offerOf('PUBLISHED', evaluation);
  const { presence } = presenceOf(presenceFactsOf(row), DEFAULT_PRESENCE, NOW);
  return viewHost(row, { now: NOW, desired, offer, evaluation, quarantines: [], desiredCommit: null, progress: null, presence, trouble: null });
}
