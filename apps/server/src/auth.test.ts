import { silentLogger, systemClock } from '@floe/runtime';
import { Hono, type Context } from 'hono';
import { expect, test } from 'vitest';
import { createAuth, type AuthEnv } from './auth.ts';
import { CredentialLooks } from './credential-looks.ts';
import { trustProxies } from './http/client-address.ts';
import { apiTokenOf } from './test/fake-app.ts';

const GOOD = apiTokenOf('good');
const NEW = apiTokenOf('new');

const addresses = trustProxies(['192.0.2.1']);
// Without a port there is no other end of a connection.
const asIfBehindProxy = { ...addresses, ofRequest: (c: Context) => addresses.of('192.0.2.1', c.req.header('x-forwarded-for')) };

test('who was signed in before does not wait behind guesses, guesses do not wait without end, and no address waits for another one’s', async () => {
  let isGuessHeld = true;
  const held: (() => void)[] = [];
  const tokens = {
    async findApiToken(token: string) {
      if (token === GOOD || token === NEW) return { name: 'admin', role: 'viewer' as const, person: 'admin' };
      if (isGuessHeld) await new Promise<void>((resolve) => held.push(resolve));
      return undefined;
    },
    findSession: async () => await Promise.resolve(undefined),
    createSession: async () => await Promise.resolve(false),
    endSession: async () => await Promise.resolve(false),
    consumeEnrolmentToken: async () => await Promise.resolve({ kind: 'unknown' as const }),
    noteUse: async () => await Promise.resolve(),
    administrators: async () => await Promise.resolve([]),
  };
  const store = { tokens, audit: { countRefusals: async () => await Promise.resolve() } };
  const app = new Hono<AuthEnv>();
  const looks = new CredentialLooks({ tokens, clock: systemClock, addresses: asIfBehindProxy });
  const auth = createAuth({ store, looks, clock: systemClock, logger: silentLogger, publicUrl: 'http://localhost' });
  app.get('/', auth.requireAction('read'), (c) => c.text('in'));
  const ask = async (token: string, from = '198.51.100.1'): Promise<number> =>
    (await app.request('/', { headers: { authorization: `Bearer ${token}`, 'x-forwarded-for': from } })).status;

  expect(await ask(GOOD)).toBe(200);
  const guesses = Array.from({ length: 400 }, async (_, n) => await ask(apiTokenOf(`guess-${n}`)));
  expect(await ask(GOOD)).toBe(200);
  // Nobody has seen this one since the server started.
  expect(await ask(NEW, '198.51.100.2')).toBe(200);
  isGuessHeld = false;
  for (const release of held) release();
  const statuses = await Promise.all(guesses);
  expect(statuses.filter((status) => status === 401).length).toBeLessThanOrEqual(30);
  expect(statuses.filter((status) => status === 503).length).toBeGreaterThanOrEqual(370);
});
