import type { RevisionView, RingView } from '@floe/protocol';
import { describe, expect, test } from 'vitest';
import { decisionCommand, decisionRequest, decisionWords } from './decisions.ts';
import { NOW, revisionView, ringView, SHA } from './fixtures.ts';
import { rolloutDecisions } from './rollout-decisions.ts';

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
    expect(decisionCommand(now)).toBe('floe rollout hotfix --now --reason "…"');
    expect(decisionRequest(now)).toEqual({ method: 'POST', path: '/api/rollout/hotfix', body: { commit: SHA, now: true } });
    expect(decisionWords(now)).toMatchObject({ verb: 'Hotfix now', effect: expect.stringContaining('second administrator') as string });
  });
});
