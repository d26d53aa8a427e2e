import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FLEET, formatRoute, parseRoute, type Route } from './route.ts';

test.each<Route>([FLEET, { kind: 'host', host: 'ws-1' }, { kind: 'revisions' }, { kind: 'revision', sha: '3f9c2ab1d0e4' }])(
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

test('a link to a filter shows the same hosts to whoever gets it, whatever is typed', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.boolean(), (text, onlyAttention) => {
      const route: Route = { kind: 'fleet', filter: { text, onlyAttention } };
      // As the address bar gives it back.
      const { hash } = new URL(formatRoute(route), 'https://floe.example.org/');
      expect(parseRoute(hash)).toEqual(route);
    }),
  );
});

test.each(['', '#', '#/hosts/', '#/hosts/../x', '#/revisions/zz', '#/elsewhere', '#/?other=1'])('%j is the fleet', (fragment) => {
  expect(parseRoute(fragment)).toEqual(FLEET);
});
