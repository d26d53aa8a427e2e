import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isEndedRevision, nextRevisionState, REVISION_EVENTS, REVISION_STATES, type RevisionState } from './revision-state.ts';

describe('a revision', () => {
  test('goes from RECEIVED to PUBLISHED', () => {
    const walk = (['accepted', 'verified', 'evaluated', 'built'] as const).reduce<RevisionState>(
      (state, event) => nextRevisionState(state, event) ?? state,
      'RECEIVED',
    );
    expect(walk).toBe('PUBLISHED');
  });
  test('can be superseded until it has ended, and never afterwards', () => {
    for (const state of REVISION_STATES) expect(nextRevisionState(state, 'superseded')).toBe(isEndedRevision(state) ? null : 'SUPERSEDED');
  });
  test('leaves a final state only when an administrator reopens it, one of its hosts is built late, or what replaced it failed', () => {
    for (const state of REVISION_STATES.filter(isEndedRevision)) {
      const left = REVISION_EVENTS.filter((event) => nextRevisionState(state, event) !== null);
      const isLate = (event: string): boolean => event === 'built' && state === 'BUILD_FAILED';
      // A refused one is checked from the start: its signatures, too.
      const isBroken = (event: string): boolean => event === 'glass-broken' && state === 'REJECTED';
      const isTakenUp = (event: string): boolean => event === 'taken-up' && state === 'SUPERSEDED';
      expect(left.every((event) => event === 'reopened' || isLate(event) || isBroken(event) || isTakenUp(event))).toBe(true);
    }
    expect(nextRevisionState('SUPERSEDED', 'reopened')).toBeNull();
    expect(nextRevisionState('REJECTED', 'reopened')).toBeNull();
    expect(nextRevisionState('REJECTED', 'glass-broken')).toBe('VERIFYING');
  });
  test('never returns to an earlier state, unless an administrator reopens it, or it is taken up again', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...REVISION_EVENTS)), (events) => {
        let seen = new Set<RevisionState>(['RECEIVED']);
        let state: RevisionState = 'RECEIVED';
        for (const event of events) {
          const next = nextRevisionState(state, event);
          if (next === null) continue;
          if (event === 'reopened' || event === 'glass-broken' || event === 'taken-up') seen = new Set();
          expect(seen.has(next)).toBe(false);
          seen.add(next);
          state = next;
        }
      }),
    );
  });
});
