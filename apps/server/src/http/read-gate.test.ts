import { EventEmitter } from 'node:events';
import { Hono } from 'hono';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReadGate, type ReadLimits } from './read-gate.ts';

const LIMITS: ReadLimits = { places: 3, placesOfGroup: 2, waiting: 10, waitingOfGroup: 5, patienceMs: 60_000, lateMs: 1_000 };
const settled = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

/** The server's end of a connection. */
class Outgoing extends EventEmitter {
  destroyed = false;
  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit('close');
  }
}

function gateOf(limits: Partial<ReadLimits> = {}) {
  let now = 0;
  const gate = new ReadGate({ monotonic: () => now }, { ...LIMITS, ...limits });
  const app = new Hono<{ Bindings: { outgoing?: Outgoing; work: () => Promise<void> } }>();
  app.get('/:token', async (c) => {
    const answer = await gate.pass(c, { token: c.req.param('token'), secret: 'secret' }, async () => {
      await c.env.work();
      return c.text('read');
    });
    return answer;
  });
  app.onError((_error, c) => c.text('failed', 500));
  return {
    pass: (ms: number) => void (now += ms),
    ask: async (token: string, env: { outgoing?: Outgoing; work?: () => Promise<void> } = {}) =>
      await app.request(`/${token}`, undefined, { work: async () => await Promise.resolve(), ...env }),
  };
}

test('whoever waits too long is told whether it is for the answers of their own token, or for those of all', async () => {
  const { ask } = gateOf({ patienceMs: 20 });
  const sending = ['ada', 'ada', 'bea'].map((token) => ({ token, outgoing: new Outgoing() }));
  for (const { token, outgoing } of sending) await ask(token, { outgoing });
  const own = await ask('ada');
  expect([own.status, await own.text(), own.headers.get('retry-after')]).toEqual([429, expect.stringContaining('2 answers to this token'), '5']);
  const other = await ask('cyd');
  expect([other.status, await other.text(), other.headers.get('retry-after')]).toEqual([503, expect.stringContaining('3 answers are'), '5']);
  sending[0]?.outgoing.destroy();
  for (const token of ['ada', 'cyd']) expect((await ask(token)).status).toBe(200);
});

test('whoever leaves while they wait ask for nothing any more', async () => {
  const { ask } = gateOf();
  const sending = [new Outgoing(), new Outgoing()];
  for (const outgoing of sending) await ask('ada', { outgoing });
  const leaving = new Outgoing();
  let isAsked = false;
  const waiting = ask('ada', {
    outgoing: leaving,
    work: async () => {
      isAsked = true;
      await Promise.resolve();
    },
  });
  await settled();
  leaving.destroy();
  await waiting;
  const gone = new Outgoing();
  gone.destroyed = true;
  await ask('ada', { outgoing: gone });
  sending[0]?.destroy();
  expect([isAsked, (await ask('ada')).status]).toEqual([false, 200]);
});

test('the oldest late answer is cut for who needs its place, and no answer while there is room', async () => {
  const { ask, pass } = gateOf();
  const [first, second, third] = [new Outgoing(), new Outgoing(), new Outgoing()];
  await ask('ada', { outgoing: first });
  await ask('ada', { outgoing: second });
  pass(1_001);
  expect((await ask('bea', { outgoing: third })).status).toBe(200);
  expect([first.destroyed, second.destroyed]).toEqual([false, false]);
  expect((await ask('cyd')).status).toBe(200);
  expect([first.destroyed, second.destroyed, third.destroyed]).toEqual([true, false, false]);
});

test('never more than its share, whoever asks, fails, leaves or reads slowly, and all is free in the end', async () => {
  const step = fc.record({
    token: fc.constantFrom('ada', 'ada', 'bea', 'cyd'),
    does: fc.constantFrom('asks', 'asks', 'answers', 'fails', 'is sent'),
    which: fc.nat(),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const { ask } = gateOf();
      const working: { readonly token: string; readonly outgoing: Outgoing; readonly end: (error?: Error) => void }[] = [];
      const sending: { readonly token: string; readonly outgoing: Outgoing }[] = [];
      const asked: Promise<Response>[] = [];
      for (const { token, does, which } of steps) {
        const outgoing = new Outgoing();
        if (does === 'asks') {
          const work = async (): Promise<void> =>
            await new Promise((resolve, reject) =>
              working.push({ token, outgoing, end: (error) => (error === undefined ? resolve() : reject(error)) }),
            );
          asked.push(ask(token, { outgoing, work }));
        } else if (does === 'is sent') sending.splice(which % Math.max(1, sending.length), 1)[0]?.outgoing.destroy();
        else {
          const [ended] = working.splice(which % Math.max(1, working.length), 1);
          ended?.end(does === 'fails' ? new Error('failed') : undefined);
          if (ended !== undefined) sending.push(ended);
        }
        await settled();
        const busy = [...working, ...sending];
        expect(busy.length).toBeLessThanOrEqual(3);
        for (const each of ['ada', 'bea', 'cyd']) expect(busy.filter((one) => one.token === each).length).toBeLessThanOrEqual(2);
      }
      while (working.length > 0 || sending.length > 0) {
        const ended = working.shift();
        ended?.end();
        await settled();
        ended?.outgoing.destroy();
        sending.shift()?.outgoing.destroy();
        await settled();
      }
      const statuses = (await Promise.all(asked)).map(({ status }) => status);
      expect(statuses.filter((status) => ![200, 429, 500, 503].includes(status))).toEqual([]);
      expect((await ask('dan')).status).toBe(200);
    }),
  );
});
