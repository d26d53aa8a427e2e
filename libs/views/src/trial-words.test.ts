import { NOTHING_OBSERVED, whyNoTrial, type HostName, type StorePath, type TrialFacts } from '@floe/model';
import { expect, test } from 'vitest';
import { describeTesting } from './trial-words.ts';

const SYSTEM = `/nix/store/${'a'.repeat(32)}-nixos-system` as StorePath;
const NONE: ReadonlySet<StorePath> = new Set();
const FACTS: TrialFacts = {
  isEnrolled: true,
  knowsTrials: true,
  quarantined: NONE,
  ordered: NONE,
  observed: NOTHING_OBSERVED,
};

/** What the commit of a testing branch says. */
function said(facts: Partial<TrialFacts>): string | undefined {
  const because = whyNoTrial({ ...FACTS, ...facts }, SYSTEM);
  return because && describeTesting({ kind: 'no-trial', host: 'ada' as HostName, because }).description;
}

test('what a person quarantined is not said to be rolled back by the host, also where it rolled it back before', () => {
  expect(said({})).toBeUndefined();
  expect(said({ quarantined: new Set([SYSTEM]) })).toContain('ada rolled this system back before');
  for (const quarantined of [NONE, new Set([SYSTEM])])
    expect(said({ quarantined, ordered: new Set([SYSTEM]) })).toBe('a person quarantined this system on ada: see who and why with: floe hosts ada');
});
