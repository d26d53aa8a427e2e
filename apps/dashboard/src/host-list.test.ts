import { HOST_STANDINGS } from '@floe/model';
import { describe, expect, test } from 'vitest';
import { countAttention, countStandings, listHosts } from './host-list.ts';
import { fromSnapshot } from './live-fleet.ts';
import { needsAttention } from '@floe/views';
import { fleetView, hostView, storePath } from '@floe/views/fixtures';

const ALL = { text: '', onlyAttention: false };
const fleet = fromSnapshot(
  fleetView({
    hosts: [
      hostView('a-fine'),
      hostView('b-away', { standing: 'away', isConnected: false }),
      hostView('c-moving', { standing: 'under-way', state: 'ACTIVATING' }),
      hostView('d-behind', { standing: 'behind', problem: 'does not evaluate: undefined variable' }),
      hostView('e-back', { standing: 'rolled-back', problem: 'rolled back: the check "printer" failed' }),
      hostView('f-failed', { standing: 'failed', observed: { current: storePath('feedface'), booted: null, profile: null } }),
    ],
  }),
);
const names = (filter: typeof ALL) => listHosts(fleet, filter).map((host) => host.host);

test('those that need a person come first, then what moves, then the rest by name', () => {
  expect(names(ALL)).toEqual(['f-failed', 'e-back', 'd-behind', 'c-moving', 'a-fine', 'b-away']);
});

describe('the filter', () => {
  test.each([
    ['FAILED', ['f-failed', 'e-back']],
    ['feedface', ['f-failed']],
    ['printer back', ['e-back']],
    ['activating', ['c-moving']],
    ['nothing like it', []],
  ])('%s', (text, found) => {
    expect(names({ ...ALL, text })).toEqual(found);
  });

  test('leaves only what needs attention', () => {
    expect(names({ ...ALL, onlyAttention: true })).toEqual(['f-failed', 'e-back', 'd-behind']);
    expect(countAttention(fleet)).toBe(3);
  });
});

test('every host is counted once', () => {
  expect(countStandings(fleet).map(({ text, count }) => `${count} ${text}`)).toEqual([
    '1 failed',
    '1 rolled back',
    '1 behind',
    '1 under way',
    '1 in sync',
    '1 away',
  ]);
});

test('a machine that is asleep, new or gone on purpose calls nobody', () => {
  const calling = HOST_STANDINGS.filter((standing) => needsAttention(hostView('ws1', { standing })));
  expect(calling).toEqual(['rolled-back', 'failed', 'drifted', 'behind', 'not-built', 'removed', 'cloned']);
});
