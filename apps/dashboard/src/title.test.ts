import { verdictOf } from '@floe/views';
import { fleetView, hostView, revisionView, SHA } from '@floe/views/fixtures';
import { expect, test } from 'vitest';
import { fromSnapshot } from './live-fleet.ts';
import { FLEET, type Route } from './route.ts';
import { titleOf } from './title.ts';

const view = fleetView({ hosts: [hostView('ws1', { standing: 'rolled-back' })], revision: revisionView() });
const facts = { session: 'signed-in', fleet: fromSnapshot(view), verdict: verdictOf(view) } as const;

test.each([
  [FLEET, '1 needs you · Floe'],
  [{ kind: 'host', host: 'ws1' }, 'ws1: rolled back · Floe'],
  [{ kind: 'host', host: 'ws9' }, 'ws9: no such host · Floe'],
  [{ kind: 'revision', sha: SHA }, 'Commit 3f9c2ab1d0: 1 of 3 on it, 1 under way, 1 rolled back · Floe'],
  [{ kind: 'revision', sha: 'd'.repeat(40) }, 'Commit dddddddddd · Floe'],
] as const satisfies readonly (readonly [Route, string])[])('the title of %o says how it stands', (route, title) => {
  expect(titleOf({ ...facts, route })).toBe(title);
});

test('a page that shows nothing yet promises nothing', () => {
  expect(titleOf({ session: 'opening', fleet: null, verdict: null, route: FLEET })).toBe('Floe');
  expect(titleOf({ ...facts, session: 'signed-out', route: FLEET })).toBe('Sign in · Floe');
});
