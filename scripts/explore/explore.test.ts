import { describe, expect, test } from 'vitest';
import { explore, replay } from './search.ts';
import type { Scene } from './scene.ts';
import { SCENES } from './scenes.ts';

/** Host a is told revision 1. */
const TOLD = ['revision 1 is published', 'the server looks, and tells whoever is there', 'a: the directive of epoch 1 arrives'] as const;
/** The server has given it a `go`, which has not arrived. */
const GONE = [...TOLD, 'a: asks for its "go"', 'a: "ready" of epoch 1 arrives'] as const;

/** Stories that were counterexamples once: they went wrong before the code was changed. */
const STORIES: Readonly<Record<string, { readonly scene: keyof typeof SCENES; readonly story: readonly string[] }>> = {
  'a canary whose user goes back and follows again within the soak is asked before the second ring': {
    scene: 'canary',
    story: [
      ...TOLD,
      'a: a user switches to another system',
      'a: its reports arrive',
      'the server looks, and tells whoever is there',
      'the soak passes',
      'a: the user follows the fleet again',
      'a: its reports arrive',
    ],
  },
  'a place is not free because a user interrupted the host whose "go" is on its way': {
    scene: 'canary',
    story: [
      ...GONE,
      'a: a user switches to another system',
      'a: its reports arrive',
      'a: the user follows the fleet again',
      'a: "go" of epoch 1 arrives',
    ],
  },
  'a host that restarts long after its "go" is not lost': {
    scene: 'restart',
    story: [
      ...GONE,
      'a: "go" of epoch 1 arrives',
      'a: its reports arrive',
      'a: is silent past the time of its watchdog',
      'a: the machine is restarted',
      'a: connects',
      'a: its reports arrive',
    ],
  },
  'a host that was lost with an earlier commit is not let go on with it, though that failure pauses the newer one': {
    scene: 'carried',
    story: [
      ...GONE,
      'revision 2 is published',
      'the server is killed, and starts',
      'a: is silent past the time of its watchdog',
      'the server looks, and tells whoever is there',
      'a: connects',
      'a: asks for its "go"',
      'a: "ready" of epoch 1 arrives',
    ],
  },
  'a place is not free because somebody ended the trial whose "go" is on its way': {
    scene: 'trial',
    story: [
      'revision 1 is published',
      'a: a person has it try revision 1',
      'the server looks, and tells whoever is there',
      'a: the directive of epoch 1 arrives',
      'a: asks for its "go"',
      'a: "ready" of epoch 1 arrives',
      'a: the server ends its trial',
      'a: "go" of epoch 1 arrives',
    ],
  },
};

/** Two hosts compete for one place, and the server has not yet stored that the first of them waits no more. */
const LATE_REPORT = [
  ...TOLD,
  'b: the directive of epoch 1 arrives',
  'a: a user says "later"',
  'a: its reports arrive',
  'a: a user says "now"',
  'a: asks for its "go"',
  'b: asks for its "go"',
  'a: "ready" of epoch 1 arrives',
  'b: "ready" of epoch 1 arrives',
  'a: "go" of epoch 1 arrives',
];

describe('everything that can happen to a few hosts', () => {
  test.each(Object.keys(SCENES) as (keyof typeof SCENES)[])('keeps the invariants, and ends well (%s; npm run explore goes further)', (name) => {
    const { counterexample, states, lines } = explore(SCENES[name], { maxDepth: 2, isOver: () => false });
    expect(counterexample).toBeUndefined();
    expect(states).toBeGreaterThan(10 * lines);
  });

  test.each(Object.entries(STORIES))('%s', (_, { scene, story }) => {
    expect(replay(SCENES[scene], story)).toMatchObject({ problem: undefined });
  });

  test('the server stores the reports before a "ready" first, or two hosts get one place', () => {
    const both = [...LATE_REPORT, 'b: "go" of epoch 1 arrives'];
    expect(replay({ ...SCENES.together, isReadyBehindReports: false }, both)?.problem).toBe('O17: a and b change at the same time');
    expect(replay(SCENES.together, LATE_REPORT)).toMatchObject({ problem: undefined });
    expect(replay(SCENES.together, both)).toBeUndefined();
  });
});

describe('the search finds', () => {
  const broken = (scene: Partial<Scene>): string | undefined =>
    explore({ ...SCENES.canary, ...scene }, { maxDepth: 3, isOver: () => false }).counterexample?.problem;

  test('a second ring that begins without the first', () => {
    const { policy } = SCENES.canary;
    const rings = policy.rings.map((ring) => ({ ...ring, errors: { percent: 100, minStarted: 1 }, minVerified: 0, successPercent: 0 }));
    expect(broken({ policy: { ...policy, rings } })).toMatch(/O9/);
  });
  test('a fleet that cannot be reached by any good revision', () => {
    expect(broken({ bad: new Set([1, 2]) })).toMatch(/does not reach everyone/);
  });
});
