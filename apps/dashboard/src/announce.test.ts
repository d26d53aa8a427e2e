import type { RolloutState } from '@floe/model';
import type { FleetEvent } from '@floe/protocol';
import { expect, test } from 'vitest';
import { announce } from './announce.ts';
import { applyEvents, fromSnapshot } from './live-fleet.ts';
import { NOW, SHA, fleetView, hostView, revisionView } from '@floe/views/fixtures';

const before = fromSnapshot(fleetView({ hosts: Array.from({ length: 9 }, (_, index) => hostView(`ws${index}`)) }));
const hosts = (...changed: Parameters<typeof hostView>[]): FleetEvent[] =>
  changed.map((args, index) => ({ type: 'host', version: 41 + index, at: NOW, host: hostView(...args) }));

test('few changes are named', () => {
  const after = applyEvents(before, hosts(['ws1', { standing: 'rolled-back' }], ['ws2', { standing: 'under-way', state: 'DOWNLOADING' }]));
  expect(announce(before, after)).toBe('ws1 rolled back. ws2 under way');
});

test('many are counted', () => {
  const after = applyEvents(before, hosts(...before.names.slice(0, 5).map((name): Parameters<typeof hostView> => [name, { standing: 'away' }])));
  expect(announce(before, after)).toBe('5 hosts changed');
});

test('a step of a download is not worth a word', () => {
  const moving = applyEvents(before, hosts(['ws1', { standing: 'under-way', state: 'DOWNLOADING' }]));
  const further = applyEvents(moving, [
    { type: 'host', version: 90, at: NOW, host: hostView('ws1', { standing: 'under-way', state: 'ACTIVATING' }) },
  ]);
  expect(announce(moving, further)).toBe('');
});

test('a held commit and a new revision are', () => {
  const repository = { ...before.repository, held: { commit: revisionView().sha, reason: 'force-push', since: NOW } };
  const after = applyEvents(before, [
    { type: 'repository', version: 41, at: NOW, repository },
    { type: 'revision', version: 42, at: NOW, revision: revisionView({ sha: 'e'.repeat(40), sequence: 8, state: 'EVALUATING' }) },
  ]);
  expect(announce(before, after)).toBe(`Commit ${SHA.slice(0, 10)} is held. Revision eeeeeeeeee evaluating`);
});

test('so is a rollout that soaks, pauses or is complete, but not how many hosts it has reached', () => {
  const at = (state: RolloutState, description: string) => {
    const { rollout, ...revision } = revisionView();
    const view = { ...revision, rollout: rollout === null ? null : { ...rollout, state, description } };
    return applyEvents(before, [{ type: 'revision', version: 41, at: NOW, revision: view }]);
  };
  const rolling = at('ROLLING', 'ring canary: 1 of 3 hosts runs it');
  const paused = at('PAUSED', 'paused at ring canary: 1 host failed: ws2');
  expect(announce(rolling, at('ROLLING', 'ring canary: 2 of 3 hosts run it'))).toBe('');
  expect(announce(rolling, paused)).toBe('Rollout: paused at ring canary: 1 host failed: ws2');
  expect(announce(paused, at('SOAKING', 'ring canary soaks: 2 of 3 hosts run it'))).toBe('Rollout: ring canary soaks: 2 of 3 hosts run it');
  expect(announce(paused, at('COMPLETE', 'all 3 hosts run it'))).toBe('Rollout complete: all 3 hosts run it');
});
