import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isEndedRevision, nextRevisionState, REVISION_EVENTS, REVISION_STATES, type RevisionState } from './revision-state.ts';

describe('a revision', () => {
  test('walks from RECEIVED to PUBLISHED', () => {
    const walk = (['accepted', 'verified', 'evaluated', 'built'] as const).reduce<RevisionState>(
      (state, event) => nextRevisionState(state, event) ?? state,
      'RECEIVED',
    );
    expect(walk).toBe('PUBLISHED');
  });
  test('can be superseded until it has ended, and never after', () => {
    for (const state of REVISION_STATES) expect(nextRevisionState(state, 'superseded')).toBe(isEndedRevision(state) ? null : 'SUPERSEDED');
  });
  test('never leaves an ended state, and never comes back to one it left', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...REVISION_EVENTS)), (events) => {
        const seen = new Set<RevisionState>(['RECEIVED']);
        let state: RevisionState = 'RECEIVED';
        for (const event of events) {
          const next = nextRevisionState(state, event);
          if (next === null) continue;
          expect(isEndedRevision(state)).toBe(false);
          expect(seen.has(next)).toBe(false);
          seen.add(next);
          state = next;
        }
      }),
    );
  });
});
