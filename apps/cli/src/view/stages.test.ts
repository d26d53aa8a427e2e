import assert from 'node:assert/strict';
import { describe, expect, test } from 'vitest';
import { NOW, revisionView } from '../test/fixtures.ts';
import { stageMs, stagesOf } from './stages.ts';

function statuses(over: Parameters<typeof revisionView>[0]): string[] {
  return stagesOf(revisionView(over)).map((stage) => stage.status);
}

describe('the stages of a revision', () => {
  test('are done one after the other, each from the end of the one before', () => {
    const stages = stagesOf(revisionView());
    expect(stages.map((stage) => stage.status)).toEqual(['done', 'done', 'done', 'done', 'done', 'running']);
    expect(stages.map((stage) => stageMs(stage, NOW))).toEqual([null, 400, 3_600, 12_000, 2_000, 222_000]);
  });
  test('have one that is running, with its time until now', () => {
    const stages = stagesOf(revisionView({ state: 'BUILDING', builtAt: null, publishedAt: null, rollout: null }));
    expect(stages.map((stage) => stage.status)).toEqual(['done', 'done', 'done', 'running', 'waiting', 'waiting']);
    expect(stages.map((stage) => stageMs(stage, NOW))).toEqual([null, 400, 3_600, 236_000, null, null]);
  });
  test('end at the one that failed', () => {
    const none = { evaluatedAt: null, builtAt: null, publishedAt: null, rollout: null };
    expect(statuses({ ...none, state: 'REJECTED' })).toEqual(['done', 'done', 'failed', 'skipped', 'skipped', 'skipped']);
    expect(statuses({ ...none, state: 'EVAL_FAILED', evaluatedAt: NOW })).toEqual(['done', 'done', 'failed', 'skipped', 'skipped', 'skipped']);
    expect(statuses({ ...none, state: 'BUILD_FAILED', evaluatedAt: NOW })).toEqual(['done', 'done', 'done', 'failed', 'skipped', 'skipped']);
    expect(statuses({ ...none, state: 'SUPERSEDED' })).toEqual(['done', 'done', 'skipped', 'skipped', 'skipped', 'skipped']);
  });
  test('are done when published, also where times were lost', () => {
    expect(statuses({ fetchedAt: null, evaluatedAt: null, builtAt: null, publishedAt: null, rollout: null })).toEqual(['done', 'done', 'done', 'done', 'done', 'waiting']);
  });
  test('show a rollout that goes on, is complete, or waits for a person', () => {
    const { rollout } = revisionView();
    assert(rollout !== null);
    const clean = { ...rollout.counts, rolledBack: 0 };
    expect(statuses({ rollout: { ...rollout, counts: clean } }).at(-1)).toBe('running');
    expect(statuses({ rollout: { ...rollout, counts: { ...rollout.counts, underWay: 0 } } }).at(-1)).toBe('failed');
    expect(statuses({ rollout: { ...rollout, state: 'COMPLETE', completedAt: NOW } }).at(-1)).toBe('done');
    expect(statuses({ rollout: { ...rollout, state: 'WAITING_APPROVAL' } }).at(-1)).toBe('waiting');
  });
});
