import { AsyncLocalStorage } from 'node:async_hooks';
import type { Store } from '@floe/store';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describedRoutes } from './openapi/document.ts';
import { publishCommit, system } from './test/commits.ts';
import { fakeApp } from './test/fake-app.ts';
import { noBuilder, startTestServer, type TestServer } from './test/test-server.ts';

// What a request decides is one transaction (SPEC O34): of one that is cut off anywhere there is all or nothing.

/** How many transactions with a decision each request made. */
const requests = new AsyncLocalStorage<{ decisions: number }>();
const made: { decisions: number }[] = [];

function watched(real: Store): Store {
  return new Proxy(real, {
    get(target, name, receiver): unknown {
      if (name === 'forPeople')
        return async <Result>(work: () => Promise<Result>): Promise<Result> => {
          const request = { decisions: 0 };
          made.push(request);
          return await requests.run(request, async () => await target.forPeople(work));
        };
      if (name !== 'decide') return Reflect.get(target, name, receiver);
      const decide: Store['decide'] = async (work) => {
        const request = requests.getStore();
        return await target.decide(async (decisions) => {
          const decided = await work(decisions);
          // Without an entry nothing is stored: an order that came too late is judged again.
          if (request !== undefined && decided.entries.length > 0) request.decisions += 1;
          return decided;
        });
      };
      return decide;
    },
  });
}

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({ wrapStore: watched, runPipeline: noBuilder });
  for (const name of ['ada', 'bob']) await server.enrol(name);
});
afterAll(async () => await server[Symbol.asyncDispose]());

/** What somebody asks for with each key of a body; what a route does not have is left out. */
const ANY: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  reason: fc.constant('because'),
  until: fc.constantFrom(undefined, Date.now() + 3_600_000),
  ring: fc.constant('all'),
  label: fc.constantFrom(undefined, 'role=dns'),
  revert: fc.boolean(),
  now: fc.boolean(),
  role: fc.constantFrom('viewer', 'operator', 'approver', 'administrator'),
  name: fc.constantFrom('t1', 't2'),
  host: fc.constant('cy'),
  to: fc.constant('cy'),
  toplevel: fc.constant(system('ada1')),
};

/** Its answer tells what was tried or removed; nothing is decided (`LOG_ALONE` of scripts/testing/decisions.test.ts). */
const DECIDE_NOTHING = /\/(?:session|cache\/gc|test)$/;

const ROUTES = describedRoutes(fakeApp().app.routes)
  .filter(({ method, path }) => method !== 'GET' && path.startsWith('/api/') && !DECIDE_NOTHING.test(path))
  .map(({ method, path, parts }) => ({
    method,
    path,
    keys: parts.flatMap((part) =>
      part.kind === 'input' && part.target === 'json' && 'entries' in part.schema ? Object.keys(part.schema.entries as object) : [],
    ),
  }));

/** Each route once, in any order. */
const anyRequests = fc.shuffledSubarray(ROUTES, { minLength: ROUTES.length }).chain((routes) =>
  fc.tuple(
    ...routes.map(({ method, path, keys }) =>
      fc.record({
        route: fc.constant(`${method} ${path}`),
        method: fc.constant(method),
        path: fc.constant(path),
        takesCommit: fc.constant(keys.includes('commit')),
        host: fc.constantFrom('ada', 'bob'),
        body: fc.record(Object.fromEntries(keys.flatMap((key) => (ANY[key] === undefined ? [] : [[key, ANY[key]]])))),
      }),
    ),
  ),
);

test('each request that changes something is one decision, and one that is refused none that stays', async () => {
  const taken = new Set<string>();
  const shas: string[] = [];
  await fc.assert(
    fc.asyncProperty(anyRequests, async (asked) => {
      const round = String(shas.length + 1);
      shas.push((await publishCommit(server, { ada: system(`ada${round}`), bob: system(`bob${round}`) })).sha);
      for (const { route, method, path, takesCommit, host, body } of asked) {
        const sha = shas.at(-1) ?? '';
        const filled = path.replace('/api/', '').replace(':sha', sha).replace(':host', host).replace(':name', 't1');
        made.length = 0;
        const { status, text } = await server.ask(method, filled, takesCommit ? { ...body, commit: sha } : body);
        const decisions = made.reduce((sum, each) => sum + each.decisions, 0);
        expect(status, `${route}: ${text}`).toBeLessThan(500);
        expect(decisions, `${route} ${status}: ${text}`).toBeLessThanOrEqual(1);
        if (status < 300 && decisions === 0) expect(text, `${route} changes nothing`).toMatch(/already|nothing/);
        if (status < 300 && decisions === 1) taken.add(route);
      }
    }),
    { numRuns: Number(process.env['FLOE_FUZZ_RUNS'] ?? 2) },
  );
  // Else little was shown.
  expect(taken.size, [...taken].join(', ')).toBeGreaterThan(8);
});
