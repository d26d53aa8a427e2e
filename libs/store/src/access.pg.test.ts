import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '@floe/testkit';
import type { DueStatus, WantedStatus } from './outbox-contract.ts';
import type { Hint } from './store.ts';
import {
  commit,
  newestRelease,
  moveRollout,
  newHost,
  newRepository,
  presence,
  publishNext,
  receive,
  report,
  unique,
  type World,
  WORLDS,
} from './test/test-store.ts';

describe.each(WORLDS)('on $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
    await world.store.tokens.createApiToken({ name: 'admin', role: 'administrator', token: 'token of admin', at: 1 });
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  describe('a session', () => {
    const DAY_MS = 24 * 3600_000;
    async function signIn(now: number): Promise<{ readonly name: string; readonly token: string; readonly secret: string }> {
      const [name, token, secret] = [unique('token'), unique('api token '), unique('session ')];
      await world.store.tokens.createApiToken({ name, role: 'operator', token, at: 1 });
      expect(await world.store.tokens.createSession(secret, token, now)).toBe(true);
      return { name, token, secret };
    }

    test('stands for its token, and is worth nothing as one', async () => {
      const { tokens } = world.store;
      const { name, token, secret } = await signIn(1_000);
      expect(await tokens.findSession(secret, 2_000)).toEqual({ name, role: 'operator', person: name });
      expect(await tokens.findSession(token, 2_000)).toBeUndefined();
      expect(await tokens.findApiToken(secret, 2_000)).toBeUndefined();
      expect(await tokens.createSession('another', 'unknown token', 1_000)).toBe(false);
    });

    test('ends when its user signs out, and no other one does', async () => {
      const { tokens } = world.store;
      const { name, token, secret } = await signIn(1_000);
      await tokens.createSession(`${secret} b`, token, 1_000);
      expect([await tokens.endSession(secret), await tokens.endSession(secret)]).toEqual([true, false]);
      expect(await tokens.findSession(secret, 1_000)).toBeUndefined();
      expect(await tokens.findSession(`${secret} b`, 1_000)).toEqual({ name, role: 'operator', person: name });
    });

    test('ends with its token', async () => {
      const { tokens } = world.store;
      const { name, token, secret } = await signIn(1_000);
      await tokens.revokeApiToken({ name, by: 'admin', now: 1 });
      expect(await tokens.findSession(secret, 1_000)).toBeUndefined();
      await tokens.createApiToken({ name, role: 'operator', token, at: 1 });
      expect(await tokens.findSession(secret, 1_000)).toBeUndefined();
    });

    test('ends when it was not used for a week, and in any case after a month', async () => {
      const { tokens } = world.store;
      const { name, secret } = await signIn(0);
      for (let day = 6; day < 30; day += 6) expect(await tokens.findSession(secret, day * DAY_MS)).toEqual({ name, role: 'operator', person: name });
      expect(await tokens.findSession(secret, 30 * DAY_MS)).toBeUndefined();
      const other = await signIn(0);
      expect(await tokens.findSession(other.secret, 7 * DAY_MS)).toBeUndefined();
      expect(await tokens.pruneSessions(30 * DAY_MS)).toBeGreaterThanOrEqual(2);
    });

    test('is one of a bounded number: the longest unused ones end', async () => {
      const { tokens } = world.store;
      const { token, secret } = await signIn(1_000);
      for (let n = 0; n < 50; n += 1) await tokens.createSession(`${secret} ${n}`, token, 2_000 + n);
      expect(await tokens.findSession(secret, 3_000)).toBeUndefined();
      expect(await tokens.findSession(`${secret} 0`, 3_000)).toBeDefined();
    });
  });

  describe('an enrolment token', () => {
    test('is used once, by its host, in time', async () => {
      const { tokens } = world.store;
      const [ada, bob] = [newHost(), newHost()];
      await tokens.createEnrolmentToken(ada, `good ${ada}`, 1_000);
      expect(await tokens.consumeEnrolmentToken('nonsense', ada, 1)).toEqual({ kind: 'unknown' });
      expect(await tokens.consumeEnrolmentToken(`good ${ada}`, bob, 1)).toEqual({ kind: 'other-host' });
      expect(await tokens.consumeEnrolmentToken(`good ${ada}`, ada, 1_000)).toEqual({ kind: 'expired' });
      expect(await tokens.consumeEnrolmentToken(`good ${ada}`, ada, 999)).toEqual({ kind: 'consumed' });
      expect(await tokens.consumeEnrolmentToken(`good ${ada}`, ada, 999)).toEqual({ kind: 'used' });
    });

    test('is used once by two requests at the same time', async () => {
      const { tokens } = world.store;
      for (let round = 0; round < 10; round += 1) {
        const host = newHost();
        await tokens.createEnrolmentToken(host, `race ${host}`, 1_000);
        const outcomes = await Promise.all([1, 2, 3, 4].map(async () => (await tokens.consumeEnrolmentToken(`race ${host}`, host, 1)).kind));
        expect(outcomes.toSorted()).toEqual(['consumed', 'used', 'used', 'used']);
      }
    });
  });

  describe('the outbox', () => {
    type Put = WantedStatus;
    let status: Put;
    beforeAll(async () => {
      const repository = await newRepository(world.store);
      status = {
        repositoryId: repository.id,
        sha: commit('a'),
        context: 'floe/rollout',
        state: 'pending',
        description: '0 of 3',
        targetUrl: 'https://floe/',
        now: 100,
      };
    });
    /** Each test has a commit of its own, and leaves nothing that is due. */
    let digits = 0;
    function fresh(changes: Partial<Put> = {}): Put {
      digits += 1;
      return { ...status, sha: commit(digits.toString(16).padStart(2, '0')), ...changes };
    }
    async function claim(now: number): Promise<DueStatus | undefined> {
      return (await world.store.outbox.claimDue({ now, limit: 10, leaseMs: 50 }))[0];
    }
    async function mustClaim(now: number): Promise<DueStatus> {
      const claimed = await claim(now);
      if (claimed === undefined) throw new Error('nothing was due');
      return claimed;
    }

    test('has nothing due before something is wanted', async () => {
      expect(await world.store.outbox.nextDueAt()).toBeUndefined();
      expect(await claim(1_000_000)).toBeUndefined();
    });

    test('hands a status out once, and drops repeats', async () => {
      const { outbox } = world.store;
      const wanted = fresh();
      await outbox.putAll([wanted]);
      expect(await outbox.nextDueAt()).toBe(100);
      expect(await claim(99)).toBeUndefined();
      const claimed = await mustClaim(100);
      const { now: _, ...content } = wanted;
      expect(claimed).toMatchObject({ ...content, version: 1, attempts: 1, isUnsure: false });
      expect(await claim(120)).toBeUndefined();
      expect(await outbox.nextDueAt()).toBe(150);
      await outbox.markSent(claimed, 130);
      await outbox.putAll([{ ...wanted, now: 140 }]);
      expect(await outbox.nextDueAt()).toBeUndefined();
    });

    test('keeps a verdict against the word that the commit was overtaken, and ends what is pending', async () => {
      const { outbox } = world.store;
      const overtaken = { state: 'error', description: 'superseded by abc1234', onlyOverPending: true } as const;
      const [judged, pending] = [fresh({ state: 'failure' }), fresh()];
      await outbox.putAll([{ ...fresh(), ...overtaken }]);
      expect(await outbox.nextDueAt()).toBeUndefined();
      for (const wanted of [judged, { ...judged, ...overtaken }, pending, { ...pending, ...overtaken }]) await outbox.putAll([wanted]);
      const due = await outbox.claimDue({ now: 100, limit: 10, leaseMs: 50 });
      expect(new Map(due.map((each) => [each.sha, each.state]))).toEqual(
        new Map([
          [judged.sha, 'failure'],
          [pending.sha, 'error'],
        ]),
      );
      for (const each of due) await outbox.markSent(each, 110);
    });

    test('coalesces what was not sent yet', async () => {
      const { outbox } = world.store;
      const wanted = fresh();
      await outbox.putAll([wanted]);
      await outbox.putAll([{ ...wanted, description: '1 of 3', now: 110 }]);
      await outbox.putAll([{ ...wanted, description: '2 of 3', now: 120 }]);
      const claimed = await mustClaim(120);
      expect(claimed).toMatchObject({ description: '2 of 3', version: 3 });
      await outbox.markSent(claimed, 130);
      expect(await claim(10_000)).toBeUndefined();
    });

    test('sends a change that came during a try only after it, and the last one always', async () => {
      const { outbox } = world.store;
      const wanted = fresh();
      await outbox.putAll([wanted]);
      const first = await mustClaim(100);
      await outbox.putAll([{ ...wanted, description: '1 of 3', now: 101 }]);
      await outbox.putAll([{ ...wanted, state: 'success', description: '3 of 3', now: 102 }]);
      expect(await claim(103)).toBeUndefined(); // else the older one could land last
      await outbox.markSent(first, 104);
      const second = await mustClaim(104);
      expect(second).toMatchObject({ state: 'success', description: '3 of 3', attempts: 1 });
      await outbox.markSent(second, 105);
      expect(await outbox.nextDueAt()).toBeUndefined();
    });

    test('tries again when the forge said, with what it has become by then', async () => {
      const { outbox } = world.store;
      const wanted = fresh();
      await outbox.putAll([wanted]);
      await outbox.markRetry(await mustClaim(100), 'rate limit', 5_000);
      await outbox.putAll([{ ...wanted, state: 'failure', now: 200 }]);
      expect(await outbox.nextDueAt()).toBe(5_000);
      expect(await claim(4_999)).toBeUndefined();
      const again = await mustClaim(5_000);
      expect(again).toMatchObject({ state: 'failure', attempts: 2 });
      await outbox.markSent(again, 5_001);
    });

    test('gives up what the forge never takes, and tries a change of it', async () => {
      const { outbox } = world.store;
      const wanted = fresh();
      await outbox.putAll([wanted]);
      await outbox.markFailed(await mustClaim(100), '422', 110);
      await outbox.putAll([{ ...wanted, now: 120 }]);
      expect(await outbox.nextDueAt()).toBeUndefined();
      await outbox.putAll([{ ...wanted, description: 'shorter', now: 130 }]);
      // A forge that refuses one line after another gets them one after another.
      expect(await outbox.nextDueAt()).toBe(10_110);
      const changed = await mustClaim(10_110);
      expect(changed).toMatchObject({ description: 'shorter', attempts: 1 });
      await outbox.markSent(changed, 10_120);
    });

    test('hands a status out again when its sender died, and ignores that one from then on', async () => {
      const { outbox } = world.store;
      await outbox.putAll([fresh()]);
      const dead = await mustClaim(100);
      const alive = await mustClaim(150);
      expect(alive).toMatchObject({ id: dead.id, attempts: 2 });
      await outbox.markRetry(dead, 'late', 9_000);
      await outbox.markSent(dead, 160);
      await outbox.markFailed(dead, 'late', 160);
      expect(await outbox.nextDueAt()).toBe(200); // still the second one's
      await outbox.markSent(alive, 170);
      await outbox.markRetry(alive, 'late', 9_000);
      // What the dead one sent may be recorded yet: the forge is looked at until that is out of the question.
      expect(await outbox.nextDueAt()).toBe(5_150);
      const looking = await mustClaim(700_000);
      expect(looking).toMatchObject({ id: dead.id, isUnsure: true });
      await outbox.markSeen(looking, 700_010);
      expect(await outbox.nextDueAt()).toBeUndefined();
    });

    test('keeps over a restart that an answer was missed', async () => {
      const { outbox } = world.store;
      await outbox.putAll([fresh()]);
      const first = await mustClaim(100);
      expect(first.isUnsure).toBe(false);
      await outbox.markRetry(first, 'no answer', 200, 110);
      const second = await mustClaim(200);
      expect(second.isUnsure).toBe(true);
      expect(await outbox.renew(first, 220, 50)).toBe(false);
      expect(await outbox.renew(second, 220, 80)).toBe(true);
      expect(await outbox.nextDueAt()).toBe(300);
      await outbox.markSeen(second, 230);
      await outbox.markSent(await mustClaim(700_000), 700_010);
      expect(await outbox.nextDueAt()).toBeUndefined();
    });

    test('keeps what was posted of a commit in mind as long as the commit is known', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const { sha } = await receive(store, repository, commit('7'));
      const [known, unknown] = [sha, commit('8')].map((each) => ({ ...fresh(), repositoryId: repository.id, sha: each }));
      if (known === undefined || unknown === undefined) throw new Error('no status');
      await store.outbox.putAll([known, unknown]);
      for (const claimed of await store.outbox.claimDue({ now: 100, limit: 2, leaseMs: 50, repositoryId: repository.id }))
        await store.outbox.markSent(claimed, 101);
      const before = await store.outbox.prune(1e12);
      expect(before).toBeGreaterThan(0);
      await store.outbox.putAll([known, unknown]);
      const due = await store.outbox.claimDue({ now: 1e12, limit: 9, leaseMs: 50, repositoryId: repository.id });
      // The one is known to stand there already, the other is put again.
      expect(due.map((each) => each.sha)).toEqual([unknown.sha]);
      for (const claimed of due) await store.outbox.markSent(claimed, 1e12);
    });

    test('leaves the words of a status alone for a while, and sends a verdict at once', async () => {
      const { outbox } = world.store;
      const wanted = fresh();
      await outbox.putAll([wanted]);
      await outbox.markSent(await mustClaim(100), 110);
      await outbox.putAll([{ ...wanted, description: '1 of 3', now: 120 }]);
      await outbox.putAll([{ ...wanted, description: '2 of 3', now: 130 }]);
      expect(await outbox.nextDueAt()).toBe(10_110);
      await outbox.putAll([{ ...wanted, state: 'success', description: 'all 3', now: 140 }]);
      expect(await outbox.nextDueAt()).toBe(140);
      await outbox.markSent(await mustClaim(140), 150);
      expect(await outbox.nextDueAt()).toBeUndefined();
    });

    test('hands each context and commit out by itself, longest wanted first', async () => {
      const { outbox } = world.store;
      const [evaluate, build] = [fresh({ context: 'floe/evaluate', now: 300 }), fresh({ context: 'floe/build', now: 200 })];
      await outbox.putAll([evaluate]);
      await outbox.putAll([build]);
      await outbox.putAll([{ ...evaluate, context: 'floe/build', now: 250 }]);
      const claimed = await outbox.claimDue({ now: 1_000, limit: 2, leaseMs: 50 });
      expect(claimed.map(({ sha, context }) => [sha, context])).toEqual([
        [build.sha, 'floe/build'],
        [evaluate.sha, 'floe/build'],
      ]);
      const rest = await outbox.claimDue({ now: 1_000, limit: 2, leaseMs: 50 });
      expect(rest.map(({ context }) => context)).toEqual(['floe/evaluate']);
      for (const each of [...claimed, ...rest]) await outbox.markSent(each, 1_001);
    });
  });

  describe('hints', () => {
    test('tell of every write that somebody may wait for', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const [ada, bob] = [newHost(), newHost()];
      const heard: string[] = [];
      const name = (hint: Hint): string => ('id' in hint ? `${hint.topic} ${hint.id}` : 'host' in hint ? `host ${hint.host}` : hint.topic);
      await using _listener = await store.hints.listen((hints) => heard.push(...hints.map(name)));
      /** All that was hinted at before is heard when this resolves. */
      async function caughtUp(): Promise<void> {
        const marker = await newRepository(store);
        await store.repositories.wake(marker.id);
        await eventually('the hints arrive', () => (heard.includes(`repository ${marker.id}`) ? true : undefined));
      }
      async function expectAfter(write: () => Promise<unknown>, expected: readonly string[]): Promise<void> {
        await caughtUp();
        heard.length = 0;
        await write();
        await caughtUp();
        expect(heard.slice(0, -1)).toEqual(expected);
      }
      await expectAfter(async () => await store.repositories.wake(repository.id), [`repository ${repository.id}`]);
      await expectAfter(async () => await store.hosts.ensure(repository.id, [ada, bob]), [`host ${ada}`, `host ${bob}`]);
      await expectAfter(async () => await store.hosts.ensure(repository.id, [ada, bob]), []);
      const revision = await receive(store, repository, commit('a'));
      await expectAfter(async () => await store.revisions.advance(revision.id, 'accepted', 1), [`revision ${revision.id}`]);
      await expectAfter(async () => await store.revisions.advance(revision.id, 'accepted', 1), []);
      // The caller acts on what it wrote: other servers hear of it, this one does not.
      await expectAfter(async () => await store.hosts.connect(ada, presence()), []);
      await expectAfter(async () => await store.reports.store([report(ada, 1), report(bob, 1)]), []);
      await publishNext(store, repository, commit('b'), [ada]);
      const release = await newestRelease(store, repository, ada);
      if (release === undefined) throw new Error('no release');
      await expectAfter(async () => await store.hosts.desire([release], 1), []);
      await expectAfter(async () => await store.hosts.retry(ada, release.toplevel), [`host ${ada}`]);
      await expectAfter(async () => await moveRollout(store, repository.id, 'COMPLETE', 1), []);
    });

    test('name hosts while they fit, and say "many" above', async () => {
      const { store } = world;
      const repository = await newRepository(store);
      const heard: Hint[] = [];
      await using _listener = await store.hints.listen((hints) => heard.push(...hints));
      await store.hosts.ensure(
        repository.id,
        Array.from({ length: 64 }, () => `${newHost()}${'x'.repeat(50)}` as ReturnType<typeof newHost>),
      );
      await eventually('the hints arrive', () => (heard.length >= 64 ? true : undefined));
      expect(heard).not.toContainEqual({ topic: 'host', host: '*' });
      // Few with the longest names do not fit either: a notification that is too long would refuse the whole transaction.
      const long = Array.from({ length: 40 }, () => newHost().padEnd(253, `.${'x'.repeat(50)}`) as ReturnType<typeof newHost>);
      for (const many of [Array.from({ length: 500 }, newHost), long]) {
        heard.length = 0;
        await store.hosts.ensure(repository.id, many);
        await eventually('the hint arrives', () => (heard.length > 0 ? true : undefined));
        expect(heard).toEqual([{ topic: 'host', host: '*' }]);
      }
    });

    test('end when nobody listens any more', async () => {
      const { store } = world;
      const { hints } = store;
      const first: Hint[] = [];
      const second: Hint[] = [];
      const ended = await hints.listen((heard) => first.push(...heard));
      await using _staying = await hints.listen((heard) => second.push(...heard));
      await ended[Symbol.asyncDispose]();
      await store.repositories.wake((await newRepository(store)).id);
      await eventually('the hint arrives', () => (second.length > 0 ? true : undefined));
      expect(first).toEqual([]);
    });
  });
});
