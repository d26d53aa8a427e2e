import { MAX_MESSAGES_PER_HOUR, NOTIFY_WITHIN_MS, type HostName, type NotificationEvent } from '@floe/model';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { NotificationClaim } from './notification-contract.ts';
import type { Store } from './store.ts';
import { unique, WORLDS, type World } from './test/test-store.ts';

const NOW = 1_790_000_000_000;
const LEASE_MS = 30_000;
const HOUR_MS = 3_600_000;

function event(key: string, since = NOW): NotificationEvent {
  return { kind: 'host-rolled-back', key: `host-rolled-back:${key}`, since, host: 'ada' as HostName, reason: 'why\0' };
}

describe.each(WORLDS)('on $name', ({ open }) => {
  let world: World;
  let store: Store['notifications'];
  let target: string;
  beforeAll(async () => {
    world = await open();
    store = world.store.notifications;
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  async function newTarget(now = NOW): Promise<string> {
    target = unique('target');
    await store.ensure([target], now);
    return target;
  }
  async function put(...keys: string[]): Promise<void> {
    await store.put(
      keys.map((key) => ({ target, event: event(key) })),
      NOW,
    );
  }
  function toSend(claimed: NotificationClaim) {
    if (claimed.kind !== 'send') throw new Error(`nothing to send: ${JSON.stringify(claimed)}`);
    return claimed;
  }
  const keysOf = (claimed: NotificationClaim): string[] => toSend(claimed).events.map((each) => each.event.key.split(':').at(-1) ?? '');

  test('each event is told to each target once, however often it is put', async () => {
    await newTarget();
    await put('a', 'a');
    await put('a');
    const claimed = toSend(await store.claim(target, NOW, LEASE_MS));
    expect(claimed.events.map((each) => each.event)).toEqual([{ ...event('a'), reason: 'why\uFFFD' }]);
    await store.markSent(target, claimed, NOW);
    await put('a');
    expect(await store.claim(target, NOW, LEASE_MS)).toEqual({ kind: 'wait', until: undefined });
    await newTarget();
    await put('a');
    expect(keysOf(await store.claim(target, NOW, LEASE_MS))).toEqual(['a']);
  });

  test('what happened before a target was there, or more than a day ago, is not told', async () => {
    await newTarget(NOW - 2 * NOTIFY_WITHIN_MS);
    await store.put([{ target, event: event('old', NOW - NOTIFY_WITHIN_MS) }], NOW);
    expect((await store.claim(target, NOW, LEASE_MS)).kind).toBe('wait');
    await newTarget(NOW);
    // A restart does not make it new.
    await store.ensure([target], NOW + HOUR_MS);
    await store.put(
      [
        { target, event: event('before', NOW - 1) },
        { target: 'nobody', event: event('else') },
        { target, event: event('after') },
      ],
      NOW,
    );
    expect(keysOf(await store.claim(target, NOW, LEASE_MS))).toEqual(['after']);
  });

  test('one of several senders gets it; when that one dies, another does after its claim', async () => {
    await newTarget();
    await put('a', 'b');
    const claims = await Promise.all([1, 2, 3].map(async () => await store.claim(target, NOW, LEASE_MS)));
    const claimed = claims.find(({ kind }) => kind === 'send');
    expect(claims.filter(({ kind }) => kind === 'wait')).toEqual([1, 2].map(() => ({ kind: 'wait', until: NOW + LEASE_MS })));
    // Killed after it was sent and before that was noted: at least once.
    const again = toSend(await store.claim(target, NOW + LEASE_MS, LEASE_MS));
    expect(keysOf(again)).toEqual(keysOf(claimed!));
    // What the first one says late means nothing.
    await store.markSent(target, toSend(claimed!), NOW + LEASE_MS);
    await store.markFailed(target, toSend(claimed!), { error: 'late', at: NOW, pausedUntil: NOW + HOUR_MS });
    await store.markSent(target, again, NOW + LEASE_MS);
    expect(keysOf(await store.claim(target, NOW + LEASE_MS, LEASE_MS))).toEqual(['b']);
  });

  test('a claim of a clock that was far ahead does not hold it', async () => {
    await newTarget();
    await put('a');
    expect((await store.claim(target, NOW + 1_000 * HOUR_MS - NOTIFY_WITHIN_MS, LEASE_MS)).kind).toBe('wait');
    await put('b');
    expect((await store.claim(target, NOW + HOUR_MS, LEASE_MS)).kind).toBe('send');
    expect((await store.claim(target, NOW, LEASE_MS)).kind).toBe('send');
  });

  test('a target that fails is left alone, says so, and gets what was tried least first', async () => {
    await newTarget();
    await put('refused', 'other');
    const first = toSend(await store.claim(target, NOW, LEASE_MS));
    expect(keysOf(first)).toEqual(['refused']);
    await store.markFailed(target, first, { error: 'answered HTTP 400\0', at: NOW, pausedUntil: NOW + 5_000 });
    expect(await store.claim(target, NOW + 1, LEASE_MS)).toEqual({ kind: 'wait', until: NOW + 5_000 });
    const state = async () => (await store.states()).find(({ name }) => name === target);
    expect(await state()).toEqual({
      name: target,
      lastSentAt: undefined,
      failing: { since: NOW, failures: 1, error: 'answered HTTP 400\uFFFD' },
      waiting: 2,
    });
    const second = toSend(await store.claim(target, NOW + 5_000, LEASE_MS));
    expect(keysOf(second)).toEqual(['other']);
    await store.markSent(target, second, NOW + 5_001);
    expect(await state()).toEqual({ name: target, lastSentAt: NOW + 5_001, failing: undefined, waiting: 1 });
    expect(keysOf(await store.claim(target, NOW + 5_002, LEASE_MS))).toEqual(['refused']);
  });

  test('a flood becomes as many messages as may be sent in an hour, the last of which has the rest', async () => {
    await newTarget();
    await put(...Array.from({ length: 100 }, (_, n) => `e${n}`));
    const counts: number[] = [];
    for (let n = 0; n < MAX_MESSAGES_PER_HOUR; n += 1) {
      const claimed = toSend(await store.claim(target, NOW + n, LEASE_MS));
      counts.push(claimed.events.length);
      await store.markSent(target, claimed, NOW + n);
    }
    expect(counts).toEqual([...Array.from({ length: MAX_MESSAGES_PER_HOUR - 1 }, () => 1), 100 - MAX_MESSAGES_PER_HOUR + 1]);
    await put('late');
    expect(await store.claim(target, NOW + 100, LEASE_MS)).toEqual({ kind: 'wait', until: NOW + HOUR_MS });
    expect(keysOf(await store.claim(target, NOW + HOUR_MS, LEASE_MS))).toEqual(['late']);
  });

  test('what could not be sent for a day is given up, and what is old is deleted', async () => {
    await newTarget();
    await put('a');
    expect(await store.claim(target, NOW + NOTIFY_WITHIN_MS + 1, LEASE_MS)).toEqual({ kind: 'wait', until: undefined });
    expect(await store.prune(NOW + 1)).toBeGreaterThan(0);
    expect(await store.pruneTargets(NOW)).toBeGreaterThan(0);
    expect((await store.states()).map(({ name }) => name)).toContain(target);
  });
});
