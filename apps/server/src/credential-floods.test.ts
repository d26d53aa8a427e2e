import { silentLogger } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import fc from 'fast-check';
import { afterEach, describe, expect, test } from 'vitest';
import { newApiToken } from './admin-token.ts';
import { newEnrolmentToken, newSessionSecret } from './credential-looks.ts';
import { trustProxies } from './http/client-address.ts';
import { listen } from './listen.ts';
import { fakeApp } from './test/fake-app.ts';

// However many credentials are tried, and whatever routes are asked with them: who has one that is good is answered. Routes are read from the
// app, so that this holds for those that are still to come.

const ROUTES = [
  ...new Set(
    fakeApp()
      .app.routes.filter(({ method, path }) => method !== 'ALL' && path.startsWith('/api/') && !path.endsWith('*'))
      .map(({ method, path }) => `${method} ${path.replaceAll(/:\w+/g, 'ada')}`),
  ),
];

interface Try {
  readonly route: string;
  readonly kind: 'token' | 'session';
  readonly isFormed: boolean;
  readonly from: number;
}
/** Of one address most, as somebody has one. */
const someTry: fc.Arbitrary<Try> = fc.record({
  route: fc.oneof(fc.constantFrom(...ROUTES), fc.constantFrom('DELETE /api/session', 'POST /api/session', 'POST /api/enrol')),
  kind: fc.constantFrom('token', 'session'),
  isFormed: fc.oneof({ weight: 9, arbitrary: fc.constant(true) }, fc.constant(false)),
  from: fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, fc.integer({ min: 1, max: 6 })),
});
const FLOOD = 600;
/** All of one kind too: what is bounded for most routes is not bounded for the one that was forgotten. */
const someFlood = fc.oneof(
  fc.array(someTry, { minLength: FLOOD, maxLength: FLOOD }),
  someTry.map((each) => Array.from({ length: FLOOD }, () => ({ ...each, isFormed: true }))),
);
/** Chance alone may make each flood one of a single address. */
const OF_TWO: Try[] = Array.from({ length: FLOOD }, (_, index) => ({
  route: 'GET /api/session',
  kind: 'token',
  isFormed: true,
  from: 1 + (index % 2),
}));

const ended: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const end of ended.splice(0).toReversed()) await end();
});

/** The server's app at a port, with a store that is as slow as the test says. */
async function startServer() {
  const holders = new Map<string, string>();
  const held: (() => void)[] = [];
  const addressOf = new Map<string, string>();
  const seen = { arrived: 0, answered: 0, looked: 0, mostAtOnce: 0, mostOfAddress: 0, malformed: 0, lookedBeforeGood: 0 };
  const looking = new Map<string, number>();
  /** Looks at the credential, which takes until `step()`. */
  async function look(secret: string): Promise<{ name: string; role: 'viewer'; person: string } | undefined> {
    const name = holders.get(secret);
    const address = addressOf.get(secret) ?? 'not of the flood';
    seen.looked += 1;
    if (!/^(?:floe_[\w-]{32}|[\w-]{32}|[\w-]{43})$/.test(secret)) seen.malformed += 1;
    looking.set(address, (looking.get(address) ?? 0) + 1);
    if (addressOf.has(secret)) {
      seen.mostOfAddress = Math.max(seen.mostOfAddress, looking.get(address) ?? 0);
      seen.mostAtOnce = Math.max(
        seen.mostAtOnce,
        [...looking].filter(([each]) => each !== 'not of the flood').reduce((sum, [, count]) => sum + count, 0),
      );
      await new Promise<void>((resolve) => held.push(resolve));
    } else seen.lookedBeforeGood = seen.looked - 1;
    looking.set(address, (looking.get(address) ?? 1) - 1);
    return name === undefined ? undefined : { name, role: 'viewer', person: name };
  }
  const addresses = trustProxies(['127.0.0.1']);
  const { app } = fakeApp({
    addresses,
    store: {
      tokens: {
        findApiToken: look,
        findSession: look,
        createSession: async (_secret, token) => (await look(token)) !== undefined,
        endSession: async (secret) => (await look(secret)) !== undefined,
        consumeEnrolmentToken: async (token) => {
          await look(token);
          return { kind: 'unknown' };
        },
        noteUse: async () => await Promise.resolve(),
        administrators: async () => await Promise.resolve(['ada']),
      },
    },
  });
  const counted = {
    fetch: (request: Request, env: object) => {
      seen.arrived += 1;
      return app.fetch(request, env);
    },
  };
  const listening = await listen(
    { app: counted as typeof app, hub: { accept: () => undefined } as never, addresses },
    { listenHost: '127.0.0.1', listenPort: 0, publicUrl: 'http://127.0.0.1' },
    silentLogger,
  );
  ended.push(async () => await listening[Symbol.asyncDispose]());

  /** Undefined: the test is over. */
  const ask = async (route: string, from: string, headers: Record<string, string>, body?: object): Promise<number | undefined> => {
    const [method = '', path = ''] = route.split(' ');
    try {
      const response = await fetch(`http://127.0.0.1:${listening.port}${path}`, {
        method,
        headers: { 'content-type': 'application/json', 'x-forwarded-for': from, ...headers },
        ...(method === 'GET' ? {} : { body: JSON.stringify(body) }),
      });
      await response.body?.cancel();
      return response.status;
    } catch {
      return undefined;
    } finally {
      seen.answered += 1;
    }
  };
  return {
    seen,
    /** From now on the store takes its time with it. */
    slowDown: (secret: string) => void addressOf.set(secret, 'a holder'),
    newToken(name: string): string {
      const token = newApiToken();
      holders.set(token, name);
      return token;
    },
    askWith: async (token: string, from: string) => await ask('GET /api/session', from, { authorization: `Bearer ${token}` }),
    async try({ route, kind, isFormed, from }: Try): Promise<number | undefined> {
      const address = `198.51.100.${from}`;
      const inBody = route === 'POST /api/session' ? newApiToken() : newEnrolmentToken();
      const secret = kind === 'token' ? newApiToken() : newSessionSecret();
      for (const each of [inBody, secret]) addressOf.set(each, address);
      const shown = isFormed ? secret : `${secret}x`;
      const headers: Record<string, string> = kind === 'token' ? { authorization: `Bearer ${shown}` } : { cookie: `floe_session=${shown}` };
      const enrolment = { host: 'ada', machineId: 'a'.repeat(32), publicKey: `${'b'.repeat(43)}=`, system: 'x86_64-linux' };
      return await ask(route, address, headers, { token: inBody, ...(route === 'POST /api/enrol' ? enrolment : {}) });
    },
    /** The store answers those that hold its places, and whoever takes them next. */
    async step(): Promise<void> {
      for (const release of held.splice(0)) release();
      await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

describe('a flood of credentials', () => {
  test('leaves everybody else an answer, holds few places in the store, and few who wait', async () => {
    const server = await startServer();
    let round = 0;
    await fc.assert(
      fc.asyncProperty(someFlood, async (tries) => {
        round += 1;
        Object.assign(server.seen, { arrived: 0, answered: 0, looked: 0 });
        // Nobody has seen this one since the server started.
        const token = server.newToken('bea');
        const flood = tries.map(async (each) => await server.try(each));
        await eventually('the flood is there', () => (server.seen.arrived === FLOOD ? true : undefined));
        const addresses = new Set(tries.map(({ from }) => from)).size;
        await eventually('those that are too many are refused', () => (FLOOD - server.seen.answered <= addresses * 26 ? true : undefined));
        const before = server.seen.looked;
        const asking = server.askWith(token, `203.0.113.${round}`);
        await eventually('the good one is there', () => (server.seen.arrived === FLOOD + 1 ? true : undefined));
        while (server.seen.answered <= FLOOD) await server.step();
        expect(await asking).toBe(200);
        // Each address had one turn before it.
        expect(server.seen.lookedBeforeGood - before).toBeLessThanOrEqual(addresses);
        const statuses = await Promise.all(flood);
        expect(statuses.filter((each) => each === 500)).toEqual([]);
      }),
      { numRuns: 4, endOnFailure: true, examples: [[OF_TWO]] },
    );
    expect(server.seen).toMatchObject({ mostAtOnce: 2, mostOfAddress: 1, malformed: 0 });
  });

  test('that asks to end sessions of nobody keeps no administrator out', async () => {
    const server = await startServer();
    const signOut = { route: 'DELETE /api/session', kind: 'session', isFormed: true, from: 1 } as const;
    const flood = Array.from({ length: FLOOD }, async () => await server.try(signOut));
    await eventually('the flood is there', () => (server.seen.arrived === FLOOD ? true : undefined));
    const asking = server.askWith(server.newToken('ada'), '203.0.113.1');
    while (server.seen.answered <= FLOOD) await server.step();
    expect(await asking).toBe(200);
    expect(new Set(await Promise.all(flood))).toEqual(new Set([204, 429]));
  });

  test('of one token that is good leaves the others their turns', async () => {
    const server = await startServer();
    const [loud, quiet] = [server.newToken('mallory'), server.newToken('bea')];
    for (const token of [loud, quiet]) expect(await server.askWith(token, '203.0.113.1')).toBe(200);
    server.slowDown(loud);
    const flood = Array.from({ length: 1_500 }, async () => await server.askWith(loud, '198.51.100.1'));
    await eventually('the flood is there', () => (server.seen.arrived === 1_502 ? true : undefined));
    expect(await server.askWith(quiet, '203.0.113.1')).toBe(200);
    while (server.seen.answered < 1_503) await server.step();
    expect(new Set(await Promise.all(flood))).toEqual(new Set([200, 503]));
  });
});
