import fc from 'fast-check';
import { expect, test } from 'vitest';
import { formatRoute, parseRoute, type Route } from './route.ts';

test.each<Route>([{ kind: 'fleet' }, { kind: 'host', host: 'ws-1' }, { kind: 'revision', sha: '3f9c2ab1d0e4' }])(
  '$kind survives the address bar',
  (route) => {
    expect(parseRoute(formatRoute(route))).toEqual(route);
  },
);

test('a link to a host leads to it, whatever its name', () => {
  const named = fc.oneof(
    fc.array(fc.stringMatching(/^[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?$/), { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.')),
    fc.constantFrom('constructor', 'toString', '007', '1.2.3.4', 'all', 'x'),
  );
  fc.assert(
    fc.property(named, (host) => {
      expect(parseRoute(formatRoute({ kind: 'host', host }))).toEqual({ kind: 'host', host });
    }),
  );
});

test.each(['', '#', '#/hosts/', '#/hosts/../x', '#/revisions/zz', '#/elsewhere'])('%j is the fleet', (fragment) => {
  expect(parseRoute(fragment)).toEqual({ kind: 'fleet' });
});
