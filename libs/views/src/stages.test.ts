import { describe, expect, test } from 'vitest';
import { stageMs, stagesOf } from './stages.ts';
import { countRollout } from '@floe/model';
import { NOW, revisionView, SHA } from './fixtures.ts';

type Over = NonNullable<Parameters<typeof revisionView>[0]>;
const OPEN = { fetchedAt: null, evaluatedAt: null, builtAt: null, publishedAt: null, rollout: null } as const;
const statuses = (over: Over) =>
  stagesOf(revisionView(over))
    .map((stage) => stage.status)
    .join(' ');

describe('the way of a revision', () => {
  test.each<[string, Over, string]>([
    ['just received', { ...OPEN, state: 'RECEIVED' }, 'done running waiting waiting waiting waiting'],
    [
      'waiting for an older one',
      { ...OPEN, state: 'RECEIVED', fetchedAt: NOW, waits: { after: SHA, until: NOW } },
      'done done waiting waiting waiting waiting',
    ],
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
    const stuck = { ...rollout, counts: countRollout(['in-sync', 'rolled-back']) };
    expect(statuses({ rollout: stuck })).toMatch(/failed$/);
    const complete = { ...rollout, state: 'COMPLETE', completedAt: NOW } as const;
    expect(statuses({ rollout: { ...complete, counts: countRollout(['in-sync']) } })).toMatch(/done$/);
    expect(statuses({ rollout: { ...complete, counts: countRollout(['in-sync', 'away']) } })).toMatch(/partly$/);
    // Frozen as it was when a newer one took its place.
    const superseded = { ...rollout, state: 'SUPERSEDED', frozenAt: NOW } as const;
    expect(statuses({ rollout: { ...superseded, counts: countRollout(['in-sync', 'under-way']) } })).toMatch(/partly$/);
    expect(statuses({ rollout: { ...superseded, counts: countRollout(['rolled-back']) } })).toMatch(/failed$/);
    expect(statuses({ rollout: { ...superseded, counts: null } })).toMatch(/skipped$/);
  });

  test('has no tick where a step is done for some of its hosts, and says for how many', () => {
    const host = { toplevel: null, error: null, evaluateMs: null, buildMs: null };
    const hosts = [
      { ...host, host: 'ada', outcome: 'CHANGED' },
      { ...host, host: 'bob', outcome: 'EVAL_ERROR' },
      { ...host, host: 'cyd', outcome: 'BUILD_ERROR' },
    ] as const;
    const stages = stagesOf(revisionView({ hosts: [...hosts] })).filter(({ status }) => status === 'partly');
    expect(stages.map(({ name, share }) => `${name} ${share}`)).toEqual(['evaluated 2 of 3', 'built 1 of 2']);
  });

  test('is evaluated and built at once, from the first host that is built to the last one that is evaluated', () => {
    const host = { toplevel: null, error: null, evaluateMs: null, buildMs: null };
    const hosts = [
      { ...host, host: 'ada', outcome: 'CHANGED' },
      { ...host, host: 'bob', outcome: 'NOT_EVALUATED' },
    ] as const;
    const going = { ...OPEN, state: 'BUILDING', fetchedAt: NOW, evaluatedAt: NOW, hosts: [...hosts] } satisfies Over;
    expect(statuses(going)).toBe('done done running running waiting waiting');
    expect(stagesOf(revisionView(going))[2]).toMatchObject({ at: null, share: '1 of 2' });
    expect(statuses({ ...going, hosts: [hosts[0]] })).toBe('done done done running waiting waiting');
    const overtaken = stagesOf(revisionView({ hosts: [...hosts] }))[2];
    expect(overtaken).toMatchObject({ status: 'partly', share: '1 of 2' });
  });

  test('is held, and not running, while it waits for an administrator, and that time is no stage', () => {
    expect(statuses({ ...OPEN, state: 'EVALUATING', fetchedAt: NOW, isHeld: true })).toBe('done done held waiting waiting waiting');
    const [, fetched] = stagesOf(revisionView({ receivedAt: NOW - 9_000_000, allowedAt: NOW - 700, fetchedAt: NOW - 300 }));
    expect(fetched === undefined ? null : stageMs(fetched, NOW)).toBe(400);
  });
});

test.each([
  ['failures', 'failed'],
  ['probe', 'failed'],
  ['deadline', 'held'],
  ['after-ring', 'held'],
  ['freeze', 'held'],
] as const)('a rollout that is paused by %s is shown as %s', (cause, status) => {
  const { rollout } = revisionView();
  if (rollout === null) throw new Error('the fixture has a rollout');
  const pause = { cause, description: '', failures: [], later: [], since: 1 };
  expect(stagesOf(revisionView({ rollout: { ...rollout, state: 'PAUSED', pause } })).at(-1)?.status).toBe(status);
});

test('a stage takes from the end of the one before', () => {
  const [received, fetched, , , , rollout] = stagesOf(revisionView());
  if (received === undefined || fetched === undefined || rollout === undefined) throw new Error('six stages');
  expect([stageMs(received, NOW), stageMs(fetched, NOW), stageMs(rollout, NOW)]).toEqual([null, 400, 222_000]);
});
