import { countRollout, REVISION_STATES, type EvaluationOutcome, type HostStanding, type RevisionState, type RolloutCounts } from '@floe/model';
import { describe, expect, it } from 'vitest';
import { describeBuild, describeEvaluation, type RevisionFacts } from './describe-revision.ts';
import { describeRollout } from './describe-rollout.ts';

function counts(some: Partial<Record<HostStanding, number>>): RolloutCounts {
  return countRollout(Object.entries(some).flatMap(([standing, count]) => Array.from({ length: count }, () => standing as HostStanding)));
}

function facts(
  state: RevisionState,
  hosts: Record<string, EvaluationOutcome | [EvaluationOutcome, string]>,
  more: Partial<RevisionFacts['revision']> & {
    waits?: RevisionFacts['waits'];
    builtAt?: Record<string, number>;
    evaluateMs?: Record<string, number>;
    supersededBy?: string;
  } = {},
): RevisionFacts {
  return {
    revision: { state, error: more.error, sameSourceAs: more.sameSourceAs },
    waits: more.waits,
    supersededBy: more.supersededBy,
    evaluations: Object.entries(hosts).map(([host, each]) => {
      const [outcome, error] = typeof each === 'string' ? [each, undefined] : each;
      return { host, outcome, error, evaluateMs: more.evaluateMs?.[host], builtAt: more.builtAt?.[host] };
    }),
  };
}

describe('a rollout', () => {
  it.each([
    [counts({ 'in-sync': 3 }), 'success', 'all 3 hosts run it'],
    [counts({ 'in-sync': 1 }), 'success', 'the only host runs it'],
    [counts({ 'in-sync': 1, 'under-way': 2 }), 'pending', '1 of 3 hosts runs it, 2 under way'],
    [counts({ 'under-way': 3 }), 'pending', '0 of 3 hosts run it, 3 under way'],
    [counts({ 'in-sync': 2, 'rolled-back': 1 }), 'failure', '2 of 3 hosts run it, 1 rolled back'],
    [counts({ 'rolled-back': 1, 'under-way': 2 }), 'failure', '0 of 3 hosts run it, 1 rolled back, 2 under way'],
    [counts({ 'in-sync': 37, away: 2, failed: 1 }), 'failure', '37 of 40 hosts run it, 1 failed, 2 away'],
    [counts({ 'in-sync': 38, away: 2 }), 'success', '38 of 40 hosts run it, 2 away'],
    [counts({ 'in-sync': 37, waiting: 2, away: 1 }), 'success', '37 of 40 hosts run it, 2 waiting, 1 away'],
    [counts({ waiting: 2 }), 'pending', '0 of 2 hosts run it, 2 waiting'],
    [counts({ 'in-sync': 1, waiting: 1, 'under-way': 1 }), 'pending', '1 of 3 hosts runs it, 1 waiting, 1 under way'],
    [counts({ 'in-sync': 2, behind: 1 }), 'success', '2 of 3 hosts run it, 1 behind'],
    [counts({ away: 3 }), 'pending', '0 of 3 hosts run it, 3 away'],
    [counts({ 'in-sync': 2, 'local-override': 1 }), 'success', '2 of 3 hosts run it, 1 kept by user'],
    [counts({ 'in-sync': 2, drifted: 1 }), 'failure', '2 of 3 hosts run it, 1 drifted'],
    [counts({ 'in-sync': 2, cloned: 1 }), 'failure', '2 of 3 hosts run it, 1 cloned'],
    [counts({ 'not-enrolled': 1 }), 'success', '0 of 1 host runs it, 1 not enrolled'],
    [counts({}), 'success', 'no host is left in the flake'],
  ] as const)('%j is %s', (given, state, description) => {
    expect(describeRollout(given)).toEqual({ state, description });
  });

  it('that was complete does not become pending when a host that waited goes on, but fails with it', () => {
    expect(describeRollout(counts({ 'in-sync': 38, waiting: 1, 'under-way': 1 }), {}, { isComplete: true })).toEqual({
      state: 'success',
      description: '38 of 40 hosts run it, 1 waiting, 1 under way',
    });
    expect(describeRollout(counts({ 'in-sync': 38, waiting: 1, 'rolled-back': 1 }), {}, { isComplete: true }).state).toBe('failure');
    // Complete because all were away or waited: nobody was seen to run it yet.
    expect(describeRollout(counts({ waiting: 1, 'under-way': 1 }), {}, { isComplete: true }).state).toBe('pending');
  });

  it('is pending while hosts that just left may be back', () => {
    const given = counts({ 'in-sync': 1, away: 5 });
    expect(describeRollout(given, {}, { leaving: 5 })).toEqual({ state: 'pending', description: '1 of 6 hosts runs it, 5 away' });
    expect(describeRollout(given)).toMatchObject({ state: 'success' });
  });

  it('names hosts while they fit', () => {
    expect(describeRollout(counts({ 'in-sync': 2, 'rolled-back': 1 }), { 'rolled-back': ['bob'] }).description).toBe(
      '2 of 3 hosts run it, 1 rolled back: bob',
    );
    expect(describeRollout(counts({ 'in-sync': 1, 'rolled-back': 4 }), { 'rolled-back': ['a', 'b', 'c', 'd'] }).description).toBe(
      '1 of 5 hosts runs it, 4 rolled back: a, b and 2 more',
    );
    const long = Array.from({ length: 3 }, (_, index) => `${index}`.repeat(60));
    expect(describeRollout(counts({ 'in-sync': 1, 'rolled-back': 3 }), { 'rolled-back': long }).description).toBe(
      '1 of 4 hosts runs it, 3 rolled back',
    );
  });

  it('of a large fleet changes its sentence so rarely that the forge takes all of them', () => {
    const sentences = new Set(
      Array.from({ length: 5001 }, (_, onIt) => describeRollout(counts({ 'in-sync': onIt, 'under-way': 5000 - onIt })).description),
    );
    expect(sentences.size).toBeLessThan(150);
    const fromWaiting = Array.from(
      { length: 2501 },
      (_, onIt) => describeRollout(counts({ 'in-sync': onIt, 'under-way': 2500, waiting: 2500 - onIt })).description,
    );
    expect(new Set(fromWaiting).size).toBeLessThan(150);
    expect(describeRollout(counts({ 'in-sync': 4999, away: 1 })).description).toBe('4999 of 5000 hosts run it, 1 away');
  });
});

describe('an evaluation', () => {
  it.each([
    [facts('RECEIVED', {}), 'pending', 'received, about to be evaluated'],
    [
      facts('RECEIVED', {}, { waits: { after: '1f0c2ab4d5'.repeat(4), until: Date.UTC(2026, 10, 29, 3, 27) } }),
      'pending',
      'received; waits for 1f0c2ab4d5 to be finished, until 2026-11-29 03:27 UTC at the latest',
    ],
    [facts('EVALUATING', {}), 'pending', 'evaluating the hosts'],
    [facts('EVALUATING', { a: 'UNCHANGED', b: 'NOT_EVALUATED', c: 'NOT_EVALUATED', d: 'REMOVED' }), 'pending', '1 of 3 evaluated'],
    [facts('BUILDING', { a: 'CHANGED', b: 'EVAL_ERROR', c: 'NOT_EVALUATED' }), 'pending', '2 of 3 evaluated'],
    [
      facts('PUBLISHED', { a: 'CHANGED', b: 'NOT_EVALUATED' }, { supersededBy: 'abcdef0123456789' }),
      'error',
      '1 of 2 evaluated: superseded by abcdef0',
    ],
    [facts('SUPERSEDED', { a: 'NOT_EVALUATED' }), 'error', '0 of 1 evaluated: superseded by a newer commit'],
    [facts('BUILD_FAILED', { a: 'CHANGED', b: 'NOT_EVALUATED' }, { error: 'nobody signed it' }), 'error', '1 of 2 evaluated'],
    [
      facts('BUILDING', { a: 'CHANGED', b: 'UNCHANGED', c: 'NEW', d: 'REMOVED' }),
      'success',
      '3 hosts evaluated: 1 changed, 1 new, 1 unchanged, 1 removed',
    ],
    [facts('PUBLISHED', { a: 'UNCHANGED' }), 'success', '1 host evaluated: 1 unchanged'],
    [
      facts('PUBLISHED', { a: 'UNCHANGED', b: 'UNCHANGED', iso: 'NOT_OURS' }, { sameSourceAs: 'abcdef0123456789' }),
      'success',
      "the same source as abcdef0, nothing evaluated: 2 unchanged, 1 not Floe's",
    ],
    [
      facts('PUBLISHED', { a: 'UNCHANGED', late: 'NEW' }, { sameSourceAs: 'abcdef0123456789', evaluateMs: { late: 900 } }),
      'success',
      'the same source as abcdef0, 1 host evaluated: 1 new, 1 unchanged',
    ],
    [facts('PUBLISHED', { a: 'NEW', pi: 'NOT_BUILT_HERE' }), 'success', '2 hosts evaluated: 1 new, 1 not built here'],
    [facts('PUBLISHED', { a: 'NEW', iso: 'NOT_OURS', vm: 'NOT_OURS' }), 'success', "1 host evaluated: 1 new, 2 not Floe's"],
    [facts('PUBLISHED', { a: 'BUILD_ERROR', b: 'CHANGED' }), 'success', '2 hosts evaluated: 2 changed'],
    [
      facts('PUBLISHED', { a: 'CHANGED', bob: ['EVAL_ERROR', 'syntax error, unexpected end of file\n at hosts/bob.nix:3'] }),
      'failure',
      '1 of 2 hosts does not evaluate: bob: syntax error, unexpected end of file\n at hosts/bob.nix:3',
    ],
    [facts('PUBLISHED', { a: 'EVAL_ERROR', b: 'EVAL_ERROR', c: 'CHANGED' }), 'failure', '2 of 3 hosts do not evaluate: a, b'],
    [facts('EVAL_FAILED', {}, { error: 'flake.nix is missing' }), 'failure', 'flake.nix is missing'],
    [facts('REJECTED', {}, { error: 'not signed' }), 'failure', 'not accepted: not signed'],
    [facts('SUPERSEDED', {}, { supersededBy: 'abcdef0123456789' }), 'error', 'not evaluated: superseded by abcdef0'],
    [facts('SUPERSEDED', { a: 'CHANGED' }), 'success', '1 host evaluated: 1 changed'],
  ] as const)('%# reads well', (given, state, description) => {
    expect(describeEvaluation(given)).toEqual({ state, description });
  });
});

describe('a build', () => {
  it.each([
    [facts('EVALUATING', { a: 'CHANGED' }), 'pending', 'waiting for the evaluation'],
    [facts('BUILDING', { a: 'CHANGED', b: 'NEW', c: 'UNCHANGED' }, { builtAt: { a: 5 } }), 'pending', '1 of 2 built'],
    [facts('BUILDING', { a: 'CHANGED', b: 'BUILD_ERROR' }, { builtAt: { a: 5 } }), 'pending', '1 of 2 built, 1 failed'],
    [facts('BUILDING', { a: 'UNCHANGED' }), 'pending', 'nothing to build, about to be published'],
    [facts('BUILDING', { a: 'UNCHANGED', b: 'NOT_EVALUATED' }), 'pending', 'waiting for the evaluation'],
    [facts('BUILDING', { a: 'CHANGED', b: 'NOT_EVALUATED' }), 'pending', '0 of 1 built'],
    [facts('PUBLISHED', { a: 'CHANGED', b: 'NEW', c: 'UNCHANGED' }), 'success', '2 hosts built and published'],
    [facts('PUBLISHED', { a: 'UNCHANGED' }), 'success', 'nothing to build: no host changed'],
    [
      facts('PUBLISHED', { a: 'CHANGED', pi: ['NOT_BUILT_HERE', 'needs a machine of aarch64-linux'] }),
      'success',
      '1 host built and published, 1 host not built here (pi): it needs a machine of aarch64-linux',
    ],
    [facts('PUBLISHED', { pi: 'NOT_BUILT_HERE', bo: 'NOT_BUILT_HERE' }), 'success', '2 hosts not built here (pi, bo)'],
    [
      facts('PUBLISHED', { a: 'CHANGED', bob: ['BUILD_ERROR', 'builder failed with exit code 1'] }),
      'failure',
      '1 of 2 hosts does not build: bob: builder failed with exit code 1',
    ],
    [facts('BUILD_FAILED', { bob: ['BUILD_ERROR', 'no space'] }), 'failure', '1 of 1 host does not build: bob: no space'],
    [facts('BUILD_FAILED', { bob: 'CHANGED' }, { error: 'the builder is away' }), 'failure', 'the builder is away'],
    [facts('EVAL_FAILED', { bob: 'EVAL_ERROR' }), 'error', 'nothing to build: the evaluation failed'],
    [facts('SUPERSEDED', { bob: 'CHANGED' }), 'error', 'not built: superseded by a newer commit'],
  ] as const)('%# reads well', (given, state, description) => {
    expect(describeBuild(given)).toEqual({ state, description });
  });
});

it('an ended revision never stays pending, and a going one never ends', () => {
  const going = new Set<RevisionState>(['RECEIVED', 'VERIFYING', 'EVALUATING', 'BUILDING']);
  for (const state of REVISION_STATES) {
    for (const hosts of [
      {},
      { a: 'CHANGED' },
      { a: 'EVAL_ERROR', b: 'BUILD_ERROR' },
      { a: 'REMOVED' },
      { a: 'CHANGED', b: 'NOT_EVALUATED' },
    ] as const) {
      expect([state, describeBuild(facts(state, hosts)).state === 'pending']).toEqual([state, going.has(state)]);
      const isEvaluating = going.has(state) && (state !== 'BUILDING' || ('b' in hosts && hosts.b === 'NOT_EVALUATED'));
      expect([state, describeEvaluation(facts(state, hosts)).state === 'pending']).toEqual([state, isEvaluating]);
    }
  }
});
