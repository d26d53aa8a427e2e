import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ACTIONS, HOST_ACTIONS, mayDo, ROLES, type Action } from '@floe/model';
import { decisionRequest, type Decision } from '@floe/views';
import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { describedRoutes } from '../openapi/document.ts';
import { apiTokenOf, fakeApp, fakeTokenOf } from '../test/fake-app.ts';

// What holds for every route, also for those that are still to come: they are read from the app.

/** Whoever calls these shows something else than an API token. */
const OPEN = new Set([
  'POST /api/session',
  'DELETE /api/session',
  'POST /api/enrol',
  'GET /healthz',
  'GET /readyz',
  'POST /webhooks/github',
  'POST /webhooks/gitlab',
  'POST /webhooks/forgejo',
]);

/** In the form of a session. */
const SESSION = 's'.repeat(43);

interface Route {
  readonly method: string;
  readonly path: string;
}

const isHandled = ({ method, path }: Route): boolean => method !== 'ALL' && !path.endsWith('*');
const ROUTES: readonly Route[] = [
  ...new Map(
    fakeApp()
      .app.routes.filter(isHandled)
      .map(({ method, path }) => [`${method} ${path}`, { method, path }]),
  ).values(),
];
const GUARDED = ROUTES.filter(({ method, path }) => !OPEN.has(`${method} ${path}`));

function fill(path: string, value: string): string {
  return path.replaceAll(/:\w+/g, encodeURIComponent(value));
}

test('the open routes exist, and there are more', () => {
  expect(ROUTES.length).toBeGreaterThan(15);
  expect(ROUTES.map(({ method, path }) => `${method} ${path}`)).toEqual(expect.arrayContaining([...OPEN]));
});

describe.each(GUARDED)('$method $path', ({ method, path }) => {
  test.each([
    ['no credential', {}],
    ['a token that nobody has', { authorization: `Bearer ${apiTokenOf('guessed')}` }],
    ['what is no token', { authorization: 'Bearer guessed' }],
    ['another scheme', { authorization: 'Basic YWRhOnRoZS10b2tlbg==' }],
    ['a cookie that nobody has', { cookie: `floe_session=${SESSION}` }],
    ['what is no session', { cookie: 'floe_session=guessed' }],
  ])('with %s is refused, and asks the store for the credential alone', async (_what, headers) => {
    const { ask, calls } = fakeApp({ store: { tokens: { findSession: async () => await Promise.resolve(undefined) } } });
    const answer = await ask(method, fill(path, 'ada'), {}, { authorization: '', ...headers });
    expect(answer).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
    expect(calls.filter((call) => !call.startsWith('tokens.find'))).toEqual([]);
  });
});

// Events are answered without end; what leads to them is asked like all else.
test.each(GUARDED.filter(({ path }) => path !== '/api/events'))(
  '$method $path asks the store on the connections of people',
  async ({ method, path }) => {
    const { ask, calls, callsOfServer } = fakeApp();
    await ask(method, fill(path, 'ada'), {});
    expect(calls).toContain('tokens.findApiToken');
    expect(callsOfServer).toEqual([]);
  },
);

describe.each(GUARDED.filter(({ method }) => method !== 'GET'))('$method $path', ({ method, path }) => {
  test('from the page of another site changes nothing', async () => {
    const { ask, calls } = fakeApp({
      store: { tokens: { findSession: async () => await Promise.resolve({ name: 'ada', role: 'administrator' as const, person: 'ada' }) } },
    });
    const headers = { authorization: '', cookie: `floe_session=${SESSION}`, 'sec-fetch-site': 'cross-site' };
    expect(await ask(method, fill(path, 'ada'), { reason: 'why' }, headers)).toMatchObject({ status: 403, code: 'FOREIGN_ORIGIN' });
    expect(calls).toEqual(['tokens.findSession']);
  });
});

describe.each(GUARDED.filter(({ path }) => path.includes(':')))('$method $path', ({ method, path }) => {
  test('says what is wrong with a name or a body, and fails at none', async () => {
    const { ask } = fakeApp();
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(fc.string({ minLength: 1, unit: 'binary' }), fc.constantFrom('..', '%00', 'a'.repeat(300), '-x', 'A_B', '1e9', ' ')),
        fc.oneof(fc.jsonValue(), fc.string()),
        async (name, body) => {
          const answer = await ask(method, fill(path, name), method === 'GET' ? undefined : body);
          // 500: the name was good after all, and the store was asked, which the test does not answer.
          if (answer.status === 500) expect(name).toMatch(/^[\w.-]+$/);
          else expect(answer.status).toBeGreaterThanOrEqual(400);
          expect(answer.code ?? '').toMatch(/^[A-Z_]+$/);
        },
      ),
      { numRuns: 30 },
    );
  });
});

/** The bodies of routes, as their schemas have them. */
const BODIES = describedRoutes(fakeApp().app.routes).flatMap(({ method, path, parts }) =>
  parts.flatMap((part) =>
    part.kind === 'input' && part.target === 'json' && 'entries' in part.schema
      ? [{ method, path, schema: part.schema, entries: part.schema.entries as Readonly<Record<string, v.GenericSchema>> }]
      : [],
  ),
);
/** Words of the library that checks. */
const FOREIGN = /\b(?:Invalid|Expected|received|undefined)\b/;

describe.each(BODIES)('$method $path', ({ method, path, schema, entries }) => {
  const keys = Object.keys(entries);
  const said = async (body: unknown): Promise<string> => {
    const { ask } = fakeApp();
    const { status, code, message = '' } = await ask(method, fill(path, 'ada'), body);
    // Whose name is in the path is another matter: a commit is none.
    expect({ status, code }).toEqual({ status: 400, code: 'REQUEST_INVALID' });
    return message;
  };
  const isReached = !path.includes(':sha');

  test.runIf(isReached)('tells a wrong body by its key and its value, in words of its own', async () => {
    const wrong = fc.oneof(fc.jsonValue(), fc.constantFrom<unknown>(null, -1, 0.5, 1e308, '', ' ', '\u0000', 'x'.repeat(600), [], {}, [null], true));
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...keys), wrong, async (key, value) => {
        fc.pre(!v.is(entries[key] ?? v.never(), value));
        const first = keys.slice(0, keys.indexOf(key));
        // What comes before it in the schema is told first.
        const message = await said({ ...Object.fromEntries(keys.map((each) => [each, 'reason'])), [key]: value });
        expect(message).toMatch(first.length === 0 ? new RegExp(`^${key}\\b`) : /^\w/);
        expect(message).not.toMatch(FOREIGN);
      }),
      { numRuns: 12 },
    );
  });

  test.runIf(isReached)('suggests the key that is meant, says which is missing, and which there are', async () => {
    const key = keys.find((each) => !v.is(entries[each] ?? v.never(), undefined));
    if (key !== undefined) {
      expect(await said({})).toBe(`${key}: is missing`);
      expect(await said({ [`${key}s`]: 'x' })).toBe(`${key}s: unknown key; did you mean ${key}?`);
    }
    expect(v.is(schema, { qqqqqqqqq: 1 })).toBe(false);
    for (const body of [[], 7, '"x"', null]) expect(await said(body)).not.toMatch(FOREIGN);
  });
});

describe.each(BODIES)('$method $path', ({ method, path }) => {
  test('says that a body is not JSON, in words of its own, and does not repeat it', async () => {
    const { ask } = fakeApp();
    const broken = fc.oneof(
      fc.constantFrom('', ' ', '{', '{"reason": "secret"', "{'reason': 'secret'}", '{"reason": "secret",}', 'undefined'),
      fc.string(),
    );
    await fc.assert(
      fc.asyncProperty(
        broken.filter((text) => !isJson(text)),
        async (text) => {
          const { status, code, message } = await ask(method, fill(path, path.includes(':sha') ? 'a'.repeat(40) : 'ada'), text);
          expect({ status, code, message }).toEqual({
            status: 400,
            code: 'REQUEST_INVALID',
            message: 'the body of the request is not JSON: it must be a set of keys and values, such as {"key": "value"}',
          });
        },
      ),
      { numRuns: 12 },
    );
  });
});

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The parts of addresses, as their schemas have them. */
const QUERIES = describedRoutes(fakeApp().app.routes).flatMap(({ method, path, parts }) =>
  parts.flatMap((part) =>
    part.kind === 'input' && part.target === 'query' && 'entries' in part.schema
      ? Object.entries(part.schema.entries as Readonly<Record<string, v.GenericSchema>>).map(([key, schema]) => ({ method, path, key, schema }))
      : [],
  ),
);

test.each(QUERIES)('$method $path?$key= is told by its key, and in a sentence, where it is wrong', async ({ method, path, key, schema }) => {
  const { ask } = fakeApp();
  const wrong = fc.oneof(fc.constantFrom('', 'abc', '-1', '0', '1e3', '0.5', '9'.repeat(16), '9'.repeat(40), '\u0000'), fc.string());
  await fc.assert(
    fc.asyncProperty(wrong, async (value) => {
      fc.pre(!v.is(schema, value));
      const { status, code, message } = await ask(method, `${fill(path, 'ada')}?${new URLSearchParams({ [key]: value }).toString()}`);
      expect({ status, code }).toEqual({ status: 400, code: 'REQUEST_INVALID' });
      expect(message).toMatch(new RegExp(`^${key}: .*\\b(?:is|are|give|must|holds|has|contains)\\b`));
      expect(message).not.toMatch(FOREIGN);
    }),
    { numRuns: 30 },
  );
});

/** What the documentation says: the action of each route, and which roles may. */
interface Documented {
  readonly action: Action;
  readonly allowed: readonly boolean[];
  readonly routes: readonly string[];
}
const SECURITY = await readFile(join(import.meta.dirname, '../../../../docs/security.md'), 'utf8');
const DOCUMENTED: readonly Documented[] = SECURITY.split('\n').flatMap((line) => {
  const cells = line.split('|').map((cell) => cell.trim());
  const action = ACTIONS.find((each) => cells[1] === `\`${each}\``);
  if (action === undefined) return [];
  return [
    {
      action,
      allowed: cells.slice(2, 2 + ROLES.length).map((cell) => cell === 'yes'),
      routes: [...(cells.at(-2) ?? '').matchAll(/`([A-Z]+ [^`]+)`/g)].map(([, route = '']) => route),
    },
  ];
});

describe('the roles of the documentation', () => {
  test('are those of the code', () => {
    expect(SECURITY).toContain(`| action | ${ROLES.join(' | ')} | routes |`);
    expect(DOCUMENTED.map(({ action }) => action)).toEqual(ACTIONS);
    for (const { action, allowed } of DOCUMENTED) expect(allowed, action).toEqual(ROLES.map((role) => mayDo(role, action)));
  });

  test('allow what a button of the page does to exactly those whom the page offers it', () => {
    const commit = '3'.repeat(40);
    const decisions: readonly Decision[] = [
      ...HOST_ACTIONS.map((kind) => ({ kind, host: 'ada' })),
      { kind: 'accept', commit },
      { kind: 'pause-rollout' },
      { kind: 'resume-rollout' },
      { kind: 'approve-rollout', commit, ring: 'all' },
      { kind: 'abort-rollout', commit, revert: true },
      { kind: 'hotfix-rollout', commit },
      { kind: 'break-glass', commit },
    ];
    // The page asks `mayDo(role, decision.kind)`.
    for (const decision of decisions) {
      const { method, path } = decisionRequest(decision);
      const route = `${method} ${path.replace('/hosts/ada', '/hosts/:host')}`;
      expect(DOCUMENTED.find(({ routes }) => routes.includes(route))?.action, route).toBe(decision.kind);
    }
  });

  test('name every route that asks who somebody is, once', () => {
    const named = DOCUMENTED.flatMap(({ routes }) => routes);
    expect(named.toSorted()).toEqual(GUARDED.map(({ method, path }) => `${method} ${path}`).toSorted());
  });
});

describe.each(GUARDED)('$method $path', ({ method, path }) => {
  const documented = DOCUMENTED.find(({ routes }) => routes.includes(`${method} ${path}`));

  test.each(ROLES.map((role, index) => ({ role, isAllowed: documented?.allowed[index] === true })))(
    'for $role, allowed: $isAllowed, and audited when not',
    async ({ role, isAllowed }) => {
      const { app, audit, refusals, calls } = fakeApp();
      const press = async () => {
        const response = await app.request(fill(path, 'ada'), {
          method,
          headers: { authorization: `Bearer ${fakeTokenOf(role)}`, 'content-type': 'application/json' },
          ...(method === 'GET' ? {} : { body: '{"reason":"why"}' }),
        });
        const text = isAllowed ? '' : await response.text();
        // An event stream goes on until its reader leaves.
        if (isAllowed) await response.body?.cancel();
        return { status: response.status, text };
      };
      const { status, text } = await press();
      if (isAllowed) {
        expect(status).not.toBe(403);
        expect(refusals).toEqual([]);
        return;
      }
      expect(status).toBe(403);
      // Which role is needed, and whom to ask.
      expect(JSON.parse(text)).toMatchObject({
        error: { code: 'ROLE_TOO_LOW', message: expect.stringMatching(/needs the role \w+.*ask an administrator \(ada\)/) as string },
      });
      expect(refusals).toMatchObject([{ actor: `a-${role}`, action: documented?.action, count: 1 }]);
      await Promise.all(Array.from({ length: 30 }, press));
      expect(refusals.reduce((sum, { count }) => sum + count, 0)).toBe(31);
      expect(refusals.length).toBeLessThan(31);
      expect(audit).toEqual([]);
      // Nothing else was looked at for it.
      expect(new Set(calls)).toEqual(new Set(['tokens.findApiToken', 'audit.countRefusals', 'tokens.administrators']));
    },
  );
});

test('a method that a path does not have is not found, whoever asks', async () => {
  const { ask } = fakeApp();
  for (const { path } of ROUTES.filter((route) => route.path.startsWith('/api/')))
    for (const method of ['PUT', 'PATCH']) expect((await ask(method, fill(path, 'ada'))).status, `${method} ${path}`).toBe(404);
});
