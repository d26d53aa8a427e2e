import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fakeApp } from '../test/fake-app.ts';

// What holds for every route, also for those that are still to come: they are read from the app.

/** Whoever calls these shows something else than an API token. */
const OPEN = new Set(['POST /api/session', 'DELETE /api/session', 'POST /api/enrol', 'GET /healthz', 'GET /readyz', 'POST /webhooks/github']);

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

test('the routes are those of the documentation', () => {
  expect(ROUTES.length).toBeGreaterThan(15);
  expect(ROUTES.map(({ method, path }) => `${method} ${path}`)).toEqual(expect.arrayContaining([...OPEN]));
});

describe.each(GUARDED)('$method $path', ({ method, path }) => {
  test.each([
    ['no credential', {}],
    ['a token that nobody has', { authorization: 'Bearer guessed' }],
    ['another scheme', { authorization: 'Basic YWRhOnRoZS10b2tlbg==' }],
    ['a cookie that nobody has', { cookie: 'floe_session=guessed' }],
  ])('with %s is refused, and asks the store for the credential alone', async (_what, headers) => {
    const { ask, calls } = fakeApp({ store: { tokens: { findSession: async () => await Promise.resolve(undefined) } } });
    const answer = await ask(method, fill(path, 'ada'), {}, { authorization: '', ...headers });
    expect(answer).toMatchObject({ status: 401, code: 'UNAUTHENTICATED' });
    expect(calls.filter((call) => !call.startsWith('tokens.find'))).toEqual([]);
  });
});

describe.each(GUARDED.filter(({ method }) => method !== 'GET'))('$method $path', ({ method, path }) => {
  test('from the page of another site changes nothing', async () => {
    const { ask, calls } = fakeApp({ store: { tokens: { findSession: async () => await Promise.resolve({ name: 'ada' }) } } });
    const headers = { authorization: '', cookie: 'floe_session=good', 'sec-fetch-site': 'cross-site' };
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

test('a method that a path does not have is not found, whoever asks', async () => {
  const { ask } = fakeApp();
  for (const { path } of ROUTES.filter((route) => route.path.startsWith('/api/')))
    for (const method of ['PUT', 'PATCH']) expect((await ask(method, fill(path, 'ada'))).status, `${method} ${path}`).toBe(404);
});
