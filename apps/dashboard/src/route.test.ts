import { expect, test } from 'vitest';
import { formatRoute, parseRoute, type Route } from './route.ts';

test.each<Route>([{ kind: 'fleet' }, { kind: 'host', host: 'ws-1' }, { kind: 'revision', sha: '3f9c2ab1d0e4' }])(
  '$kind survives the address bar',
  (route) => {
    expect(parseRoute(formatRoute(route))).toEqual(route);
  },
);

test.each(['', '#', '#/hosts/', '#/hosts/../x', '#/revisions/zz', '#/elsewhere'])('%j is the fleet', (fragment) => {
  expect(parseRoute(fragment)).toEqual({ kind: 'fleet' });
});
