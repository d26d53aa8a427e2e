import { ROLLOUT_STATES, RING_STATES } from '@floe/model';
import type { PauseView, RingView } from '@floe/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeRing } from './describe-ring.ts';
import { ringView } from './fixtures.ts';
import { emptyRingWords, ringParts, ringStateWords, ringWaitsFor, rolloutWords } from './rollout-words.ts';

const count = fc.oneof(fc.constant(0), fc.nat(3), fc.nat(500));
const rings = fc.record({
  state: fc.constantFrom(...RING_STATES),
  counts: fc
    .record({ verified: count, failed: count, acknowledged: count, inFlight: count, waiting: count, toCome: count, away: count })
    .map((counts) => ({ ...counts, eligible: Object.values(counts).reduce((sum, each) => sum + each, 0) })),
  missingApprovals: fc.constantFrom<RingView['missingApprovals']>(null, { count: 1, role: 'approver', notAuthor: false, weaker: [], notAsked: [] }),
});
const pauses = fc.constantFrom<PauseView | null>(
  null,
  { cause: 'failures', description: '1 host failed: ada', failures: [], later: [], since: 1 },
  { cause: 'after-ring', description: 'a person looks', failures: [], later: [], since: 1 },
);

const said = (over: Partial<RingView>, state: (typeof ROLLOUT_STATES)[number], pause: Parameters<typeof describeRing>[1]['pause'] = null) => {
  const each = ringView(over);
  const text = describeRing(
    each,
    { state, pause, rings: [ringView({ state: each.state === 'to-come' ? 'current' : 'passed' }), each] },
    'abcdef0123',
  );
  return `${text.state}: ${text.description}`;
};

describe('the status of one ring', () => {
  test('is green once its gate has passed, and stays so, whatever becomes of the rollout and whoever is away', () => {
    fc.assert(
      fc.property(rings, fc.constantFrom(...ROLLOUT_STATES), pauses, (each, state, pause) => {
        const { state: is, description, isUnderWay } = describeRing(ringView(each), { state, pause, rings: [ringView(each)] }, 'abcdef0123');
        expect(is === 'success').toBe(each.state === 'passed' || (each.state === 'current' && state === 'COMPLETE'));
        // Nothing stays pending when nothing more comes of it.
        if (state === 'SUPERSEDED' || state === 'ABORTED' || state === 'COMPLETE')
          expect(is === 'pending').toBe(each.state === 'to-come' && state === 'COMPLETE');
        expect(description.length).toBeLessThan(140);
        if (is === 'pending' && state === 'ROLLING') expect(isUnderWay).toBe(true);
      }),
    );
  });

  test('counts as under way only hosts that began, or that are told to', () => {
    fc.assert(
      fc.property(rings, fc.constantFrom(...ROLLOUT_STATES), (each, state) => {
        const parts = new Map(ringParts(each, { state }).map(({ part, count: hosts }) => [part, hosts]));
        const areTold = each.state === 'passed' || (each.state === 'current' && ['ROLLING', 'SOAKING', 'COMPLETE'].includes(state));
        expect(parts.get('under way') ?? 0).toBe(each.counts.inFlight + (areTold ? each.counts.toCome : 0));
        expect([...parts.values()].reduce((sum, hosts) => sum + hosts, 0)).toBe(each.counts.eligible);
      }),
    );
    const counts = { ...ringView({}).counts, inFlight: 0, toCome: 1 };
    expect(said({ counts }, 'READY')).toBe('pending: waits for its window: 1 of 3 verified, 1 away, 1 to come');
  });

  test('says where its hosts are, and what it waits for', () => {
    expect(said({}, 'ROLLING')).toBe('pending: 1 of 3 verified, 1 under way, 1 away');
    expect(said({ state: 'passed' }, 'ROLLING')).toBe('success: 1 of 3 verified, 1 under way, 1 away');
    expect(said({ state: 'to-come' }, 'ROLLING')).toBe('pending: waits for ring canary');
    expect(said({ state: 'to-come' }, 'ABORTED')).toBe('error: not begun: the rollout was aborted');
    expect(said({ state: 'to-come' }, 'SUPERSEDED')).toBe('error: superseded by abcdef0: waits for ring canary');
    expect(said({}, 'PAUSED', { cause: 'failures', description: '1 host failed: ada', failures: [], later: [], since: 1 })).toBe(
      'failure: paused: 1 host failed: ada',
    );
    expect(said({ missingApprovals: { count: 1, role: 'approver', notAuthor: false, weaker: [], notAsked: [] } }, 'WAITING_APPROVAL')).toBe(
      'pending: waits for approval: 1 more approval (approver or higher)',
    );
  });
});

test('while hosts of a ring are still made nobody reads that none of it changes, or that a person is asked who is not', () => {
  const made = fc.record({ building: fc.nat(2), evaluating: fc.nat(2) });
  const empty = { verified: 0, failed: 0, acknowledged: 0, inFlight: 0, waiting: 0, toCome: 0, away: 0, eligible: 0 };
  fc.assert(
    fc.property(rings, made, fc.boolean(), fc.constantFrom(...ROLLOUT_STATES), (each, still, isEmptyRing, state) => {
      const ring = ringView({ ...each, ...still, ...(isEmptyRing ? { counts: empty } : {}) });
      const rollout = { state, pause: null, rings: [ring] };
      const shown = [
        ringStateWords(ring, rollout),
        ringWaitsFor(ring, rollout, String),
        rolloutWords(rollout),
        describeRing(ring, rollout).description,
      ];
      const isMade = still.building + still.evaluating > 0;
      if (isMade) expect([...shown, emptyRingWords(ring)].join()).not.toContain('no host of it changes');
      if (isMade && ring.state === 'current' && ring.missingApprovals === null) expect(shown.join()).not.toContain('approval');
    }),
    { numRuns: 500 },
  );
});
