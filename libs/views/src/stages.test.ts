import { describe, expect, test } from 'vitest';
import { stageMs, stagesOf } from './stages.ts';
import { NOW, revisionView } from './fixtures.ts';

type Over = NonNullable<Parameters<typeof revisionView>[0]>;
const OPEN = { fetchedAt: null, evaluatedAt: null, builtAt: null, publishedAt: null, rollout: null } as const;
const statuses = (over: Over) =>
  stagesOf(revisionView(over))
    .map((stage) => stage.status)
    .join(' ');

describe('the way of a revision', () => {
  test.each<[string, Over, string]>([
    ['just received', { ...OPEN, state: 'RECEIVED' }, 'done running waiting waiting waiting waiting'],
    ['evaluating', { ...OPEN, state: 'EVALUATING', fetchedAt: NOW }, 'done done running waiting waiting waiting'],
    ['not evaluable', { ...OPEN, state: 'EVAL_FAILED', fetchedAt: NOW, evaluatedAt: NOW }, 'done done failed skipped skipped skipped'],
    ['not buildable', { ...OPEN, state: 'BUILD_FAILED', fetchedAt: NOW, evaluatedAt: NOW }, 'done done done failed skipped skipped'],
    ['refused', { ...OPEN, state: 'REJECTED' }, 'done failed skipped skipped skipped skipped'],
    ['overtaken', { ...OPEN, state: 'SUPERSEDED', fetchedAt: NOW }, 'done done skipped skipped skipped skipped'],
    ['published, times lost', { ...OPEN, state: 'PUBLISHED' }, 'done done done done done waiting'],
    ['rolling', {}, 'done done done done done running'],
  ])('%s', (_, over, expected) => {
    expect(statuses(over)).toBe(expected);
  });

  test('a rollout in which nothing moves and one host rolled back does not look as if it went on', () => {
    const { rollout } = revisionView();
    if (rollout === null) throw new Error('the fixture has a rollout');
    const stuck = { ...rollout, counts: { ...rollout.counts, 'under-way': 0 } };
    expect(statuses({ rollout: stuck })).toMatch(/failed$/);
    expect(statuses({ rollout: { ...rollout, state: 'COMPLETE', completedAt: NOW } })).toMatch(/done$/);
  });
});

test('a stage takes from the end of the one before', () => {
  const [received, fetched, , , , rollout] = stagesOf(revisionView());
  if (received === undefined || fetched === undefined || rollout === undefined) throw new Error('six stages');
  expect([stageMs(received, NOW), stageMs(fetched, NOW), stageMs(rollout, NOW)]).toEqual([null, 400, 222_000]);
});
