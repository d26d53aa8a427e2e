import {
  abandonStatus,
  claimStatus,
  newStatusEntry,
  postponeStatus,
  renewStatus,
  settleStatus,
  statusDueAt,
  STATUS_STATES,
  wantStatus,
  type StatusEntry,
} from '@floe/model';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DueStatus } from './outbox-contract.ts';
import { commit, newRepository, WORLDS, type World } from './test/test-store.ts';

const step = fc.oneof(
  fc.record({
    do: fc.constant('want' as const),
    context: fc.nat(2),
    state: fc.constantFrom(...STATUS_STATES),
    words: fc.nat(2),
    isUnderWay: fc.boolean(),
  }),
  fc.record({ do: fc.constant('claim' as const) }),
  fc.record({ do: fc.constantFrom('sent', 'seen', 'failed', 'renew', 'retry', 'missed'), which: fc.nat(3) }),
);
const story = fc.array(fc.record({ afterMs: fc.constantFrom(0, 1, 400, 6_000, 30_000, 700_000), step }), { maxLength: 25 });

describe.each(WORLDS)('on $name', ({ open }) => {
  let world: World;
  let repositoryId: string;
  let round = 0;
  beforeAll(async () => {
    world = await open();
    repositoryId = (await newRepository(world.store)).id;
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('the outbox does with its rows what is decided of entries, whatever happens to them', async () => {
    const { outbox } = world.store;
    let now = 1_000_000;
    await fc.assert(
      fc.asyncProperty(story, async (steps) => {
        round += 1;
        const sha = commit(round.toString(16).padStart(4, '0'));
        const entries = new Map<string, StatusEntry>();
        const claims: DueStatus[] = [];
        const decide = (context: string, next: StatusEntry | undefined): void => {
          if (next !== undefined) entries.set(context, next);
        };
        for (const { afterMs, step: each } of steps) {
          now += afterMs;
          if (each.do === 'want') {
            const context = `context ${each.context}`;
            const wish = { state: each.state, description: `${each.words}`, targetUrl: 'https://floe/', isUnderWay: each.isUnderWay };
            const entry = entries.get(context);
            decide(context, entry === undefined ? newStatusEntry(wish, now) : wantStatus(entry, wish, now));
            await outbox.putAll([{ repositoryId, sha, context, ...wish, now }]);
          } else if (each.do === 'claim') {
            const [claimed] = await outbox.claimDue({ now, limit: 1, leaseMs: 5_000 });
            const due = [...entries].filter(([, entry]) => (statusDueAt(entry) ?? Infinity) <= now);
            expect(claimed === undefined).toBe(due.length === 0);
            if (claimed === undefined) continue;
            const entry = due.find(([context]) => context === claimed.context)?.[1];
            if (entry === undefined) throw new Error(`${claimed.context} was not due`);
            decide(claimed.context, claimStatus(entry, now, 5_000));
            claims.push(claimed);
          } else {
            const claimed = claims[each.which % Math.max(1, claims.length)];
            const entry = entries.get(claimed?.context ?? '');
            if (claimed === undefined || entry === undefined) continue;
            switch (each.do) {
              case 'sent':
                decide(claimed.context, settleStatus(entry, claimed, { at: now, isPosted: true }));
                await outbox.markSent(claimed, now);
                break;
              case 'seen':
                decide(claimed.context, settleStatus(entry, claimed, { at: now, isPosted: false }));
                await outbox.markSeen(claimed, now);
                break;
              case 'failed':
                decide(claimed.context, abandonStatus(entry, claimed, { at: now, error: 'x' }));
                await outbox.markFailed(claimed, 'x', now);
                break;
              case 'renew': {
                const next = renewStatus(entry, claimed, now, 5_000);
                decide(claimed.context, next);
                expect(await outbox.renew(claimed, now, 5_000)).toBe(next !== undefined);
                break;
              }
              default: {
                const missedAt = each.do === 'missed' ? now : undefined;
                decide(claimed.context, postponeStatus(entry, claimed, { dueAt: now + 1_000, error: 'x', missedAt }));
                await outbox.markRetry(claimed, 'x', now + 1_000, missedAt);
              }
            }
          }
          const dueAt = Math.min(...[...entries.values()].map((entry) => statusDueAt(entry) ?? Infinity));
          expect((await outbox.nextDueAt()) ?? Infinity).toBe(dueAt);
        }
        // Leaves nothing that is due to the next round.
        while ((await outbox.nextDueAt()) !== undefined) {
          now += 700_000;
          for (const claimed of await outbox.claimDue({ now, limit: 10, leaseMs: 1 })) await outbox.markSeen(claimed, now);
          now += 2;
        }
      }),
      { numRuns: fc.readConfigureGlobal().numRuns ?? 25 },
    );
  });
});
