import type { RevisionView, RingView } from '@floe/protocol';
import { describe, expect, test } from 'vitest';
import { decisionCommand, decisionRequest, decisionWords, mayEnd, needsLabel, withEnd, withLabel } from './decisions.ts';
import { NOW, revisionView, ringView, SHA } from './fixtures.ts';
import { ANY_LABEL, pauseDecisions, revisionDecisions, rolloutDecisions } from './rollout-decisions.ts';

function ring(name: string, state: RingView['state'], verified = 0): RingView {
  const counts = { eligible: 3, verified, failed: 0, acknowledged: 0, inFlight: 1, waiting: 0, toCome: 0, away: 2 };
  return ringView({ name, state, counts });
}

function decided(rings: RingView[], orders: NonNullable<RevisionView['rollout']>['orders'] = []) {
  const { sha, rollout } = revisionView();
  if (rollout === null) throw new Error('no rollout');
  return rolloutDecisions({ sha, rollout: { ...rollout, state: 'ROLLING', pause: null, freeze: null, rings, orders } });
}

describe('a hotfix --now', () => {
  const now = { kind: 'hotfix-rollout', commit: SHA, now: true } as const;
  const order = { kind: 'hotfix', by: 'eve', role: 'administrator', reason: 'used', at: NOW, ring: null } as const;

  test('is offered beside its command while no ring has verified hosts, and to a second person until it counts', () => {
    const rings = [ring('canary', 'current'), ring('all', 'to-come')];
    expect(decided(rings)).toContainEqual(now);
    expect(decided(rings, [{ ...order, now: 'waits' }])).toContainEqual(now);
    expect(decided(rings, [{ ...order, now: 'counts' }])).not.toContainEqual(now);
    expect(decided([ring('canary', 'passed', 2), ring('office', 'current'), ring('all', 'to-come')])).not.toContainEqual(now);
    expect(decided([ring('canary', 'passed'), ring('all', 'current')])).not.toContainEqual(now);
  });

  test('is one thing on page, command line and API', () => {
    expect(decisionCommand(now)).toBe(`floe rollout hotfix ${SHA.slice(0, 10)} --now --reason "…"`);
    expect(decisionRequest(now)).toEqual({ method: 'POST', path: '/api/rollout/hotfix', body: { commit: SHA, now: true } });
    expect(decisionWords(now)).toMatchObject({ verb: 'Hotfix now', effect: expect.stringContaining('second administrator') as string });
  });
});

test('an approval is offered to whoever may give one, but to nobody whose word would change nothing', () => {
  const { sha, rollout } = revisionView();
  if (rollout === null) throw new Error('no rollout');
  const seenId = '-q3Vv0a8Kx_2e4Tz';
  const missingApprovals: RingView['missingApprovals'] = {
    count: 1,
    role: 'approver',
    notAuthor: true,
    weaker: [],
    notAsked: ['grace'],
    seen: seenId,
  };
  const waiting = { ...rollout, state: 'WAITING_APPROVAL' as const, rings: [{ ...ring('canary', 'current'), missingApprovals }] };
  const approve = { kind: 'approve-rollout', commit: SHA, ring: 'canary', seen: seenId } as const;
  expect(decisionCommand(approve)).toBe('floe rollout approve --seen=-q3Vv0a8Kx_2 --reason "…"');
  expect(rolloutDecisions({ sha, rollout: waiting }, 'ada')).toContainEqual(approve);
  expect(rolloutDecisions({ sha, rollout: waiting })).toContainEqual(approve);
  expect(rolloutDecisions({ sha, rollout: waiting }, 'grace')).not.toContainEqual(approve);
});

describe('the pause of a label', () => {
  const stop = { label: 'role=dns', by: 'ada', reason: 'moved', at: NOW, until: null } as const;
  const { sha, rollout } = revisionView();
  const seen = { ...(rollout as NonNullable<typeof rollout>), rings: [ring('all', 'current')], stops: [stop] };

  test('is offered beside that of everybody, also when the rollout is over, and ended for each label by itself', () => {
    const freeze = { by: 'ada', reason: 'holidays', at: NOW, until: null };
    for (const state of ['ROLLING', 'COMPLETE', 'ABORTED'] as const) {
      const open = rolloutDecisions({ sha, rollout: { ...seen, state } });
      expect(open).toContainEqual({ kind: 'pause-rollout' });
      expect(open).toContainEqual({ kind: 'pause-rollout', label: ANY_LABEL });
      expect(open).toContainEqual({ kind: 'resume-rollout', label: 'role=dns', since: NOW });
      const frozen = rolloutDecisions({ sha, rollout: { ...seen, state, freeze } });
      expect(frozen).not.toContainEqual({ kind: 'pause-rollout' });
      expect(frozen).toContainEqual({ kind: 'pause-rollout', label: ANY_LABEL });
    }
    expect(pauseDecisions({ freeze, stops: [stop] }).map(decisionCommand)).toEqual([
      `floe rollout resume --seen=${NOW} --reason "…"`,
      `floe rollout resume --seen=${NOW} --label role=dns --reason "…"`,
    ]);
    expect(pauseDecisions({ freeze: null, stops: [] })).toEqual([]);
  });

  test('asks for the label and an end, and is sent with both', () => {
    const asked = { kind: 'pause-rollout', label: ANY_LABEL } as const;
    expect(decisionCommand(asked)).toBe('floe rollout pause --label LABEL --reason "…"');
    expect([needsLabel(asked), mayEnd(asked), needsLabel({ kind: 'pause-rollout' })]).toEqual([true, true, false]);
    expect(decisionRequest(withEnd(withLabel(asked, 'role=dns'), NOW))).toEqual({
      method: 'POST',
      path: '/api/rollout/pause',
      body: { label: 'role=dns', until: NOW },
    });
    expect(withLabel({ kind: 'pause-rollout' }, 'role=dns')).toEqual({ kind: 'pause-rollout' });
  });
});

test('a commit below the floor can be let pass, and a held one accepted', () => {
  expect(revisionDecisions({ sha: revisionView().sha, isHeld: false, isBelowFloor: false }, true)).toEqual([]);
  const [accept, glass] = revisionDecisions({ sha: revisionView().sha, isHeld: true, isBelowFloor: true }, true);
  expect(revisionDecisions({ sha: revisionView().sha, isHeld: false, isBelowFloor: true }, false)).toEqual([]);
  if (accept === undefined || glass === undefined) throw new Error('two decisions');
  expect(decisionCommand(accept)).toBe(`floe accept ${SHA} --reason "…"`);
  const held = { commit: revisionView().sha, reason: 'hosts would go', since: 1, seen: 'q3Vv0a8Kx_2e4Tz' };
  const [bound] = revisionDecisions({ sha: revisionView().sha, isHeld: true, isBelowFloor: false }, true, held);
  if (bound === undefined) throw new Error('one decision');
  expect(decisionCommand(bound)).toBe(`floe accept ${SHA} --seen=q3Vv0a8Kx_2e --reason "…"`);
  expect(decisionRequest(bound).body).toEqual({ commit: SHA, seen: held.seen });
  expect(decisionCommand(glass)).toBe(`floe rollout break-glass ${SHA.slice(0, 10)} --reason "…"`);
  expect(decisionRequest(glass)).toEqual({ method: 'POST', path: '/api/rollout/break-glass', body: { commit: SHA } });
});
