import { systemClock } from '@floe/runtime';
import { Hono } from 'hono';
import { expect, test } from 'vitest';
import { createAuth, type AuthEnv } from './auth.ts';

test('who was let in before does not wait behind guesses, and guesses do not wait without end', async () => {
  let isGuessHeld = true;
  const held: (() => void)[] = [];
  const tokens = {
    async findApiToken(token: string) {
      if (token === 'good') return { name: 'admin' };
      if (isGuessHeld) await new Promise<void>((resolve) => held.push(resolve));
      return undefined;
    },
    findSession: async () => await Promise.resolve(undefined),
    createSession: async () => await Promise.resolve(false),
    endSession: async () => await Promise.resolve(),
  };
  const app = new Hono<AuthEnv>();
  app.use(createAuth({ tokens, clock: systemClock, publicUrl: 'http://localhost' }).required);
  app.get('/', (c) => c.text('in'));
  const ask = async (token: string): Promise<number> => (await app.request('/', { headers: { authorization: `Bearer ${token}` } })).status;

  expect(await ask('good')).toBe(200);
  const guesses = Array.from({ length: 400 }, async (_, n) => await ask(`guess-${n}`));
  expect(await ask('good')).toBe(200);
  isGuessHeld = false;
  for (const release of held) release();
  const statuses = await Promise.all(guesses);
  expect(statuses.filter((status) => status === 401).length).toBeLessThanOrEqual(110);
  expect(statuses.filter((status) => status === 503).length).toBeGreaterThanOrEqual(290);
});
