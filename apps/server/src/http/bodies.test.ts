import fc from 'fast-check';
import { Hono } from 'hono';
import { describe, expect, test } from 'vitest';
import { BodyBudget, strangersBody } from './bodies.ts';

describe('the budget of bodies', () => {
  test('holds no more than its limit, and gives all of it back', () => {
    const step = fc.record({ body: fc.nat(5), bytes: fc.nat(60), ends: fc.boolean() });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const budget = new BodyBudget(100);
        const bodies = Array.from({ length: 6 }, () => budget.hold());
        for (const { body, bytes, ends } of steps) {
          if (ends) bodies[body]?.[Symbol.dispose]();
          else bodies[body]?.grow(bytes);
          expect(budget.heldBytes).toBeLessThanOrEqual(100);
        }
        for (const body of bodies) body[Symbol.dispose]();
        expect(budget.heldBytes).toBe(0);
      }),
    );
  });

  test('a small body passes those that fill the memory', () => {
    const budget = new BodyBudget(1_000);
    const small = budget.hold();
    expect(small.grow(10)).toBe(true);
    const large = Array.from({ length: 50 }, () => budget.hold());
    for (let round = 0; round < 20; round += 1) for (const each of large) each.grow(50);
    expect(small.grow(10)).toBe(true);
  });
});

describe('a route for strangers', () => {
  function app(maxBytes: number, budget: BodyBudget): Hono {
    return new Hono().post('/', strangersBody(maxBytes, budget), async (c) => c.json(await c.req.json()));
  }
  const endless = (): ReadableStream => new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(64)) });

  test('gets the body as it came', async () => {
    const answer = await app(100, new BodyBudget(5_000)).request('/', { method: 'POST', body: '{"a":"é"}' });
    expect(await answer.json()).toEqual({ a: 'é' });
  });

  test('refuses by the length that is announced, before a byte is read', async () => {
    let pulls = 0;
    const body = new ReadableStream({ pull: () => void (pulls += 1) }, { highWaterMark: 0 });
    const init = { method: 'POST', body, duplex: 'half', headers: { 'content-length': '101' } } as RequestInit;
    const answer = await app(100, new BodyBudget(1_000)).request('/', init);
    expect([answer.status, await answer.text(), pulls]).toEqual([413, expect.stringContaining('larger than 100 bytes'), 0]);
  });

  test('gets one that comes byte by byte, for what its length costs', async () => {
    const budget = new BodyBudget(1024 * 1024);
    const text = JSON.stringify({ text: 'x'.repeat(200_000) });
    let at = 0;
    let kept = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        if (at === text.length) controller.close();
        else controller.enqueue(new TextEncoder().encode(text[at]));
        at += 1;
        kept = Math.max(kept, budget.heldBytes);
      },
    });
    const answer = await app(300_000, budget).request('/', { method: 'POST', body, duplex: 'half' });
    expect(await answer.json()).toEqual(JSON.parse(text));
    expect(kept).toBeLessThanOrEqual(300_000);
  });

  test('refuses one that goes on and on, and names the limit', async () => {
    const budget = new BodyBudget(10_000);
    const answer = await app(100, budget).request('/', { method: 'POST', body: endless(), duplex: 'half' });
    expect([answer.status, budget.heldBytes]).toEqual([413, 0]);
    const full = await app(100_000, budget).request('/', { method: 'POST', body: endless(), duplex: 'half' });
    expect([full.status, await full.text(), budget.heldBytes]).toEqual([503, expect.stringContaining('BODIES_TOO_MANY'), 0]);
  });
});
