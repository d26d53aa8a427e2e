import type { Report } from '@floe/protocol';
import { systemClock, type Clock } from '@floe/runtime';
import { eventually } from '@floe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { countedStore, type CountedStore } from './test/counted-store.ts';
import { noBuilder, startTestServer, TestAgent, TOPLEVEL, toPublish, type TestServer } from './test/test-server.ts';

// One report, one publication: each is looked at once, however many loops there are. Counted, not timed.

const MOST_OF_A_REPORT = 8;
const MOST_OF_A_PUBLICATION = 15;
/** What loops ask by the clock, or to send statuses, has nothing to do with what is counted. */
const BY_THE_CLOCK = [
  'server.',
  'hints.',
  'outbox.claimDue',
  'outbox.mark',
  'outbox.nextDueAt',
  'hosts.renewLease',
  'hosts.expirePresence',
  'hosts.present',
];

/** Loops that wait for longer do nothing of what is counted. */
const SHORT_MS = 2_500;

let server: TestServer;
let counted: CountedStore;
let shortSleeps = 0;
const clock: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic(),
  sinceBoot: () => systemClock.sinceBoot(),
  async sleep(ms, signal) {
    const isShort = ms <= SHORT_MS;
    if (isShort) shortSleeps += 1;
    try {
      await systemClock.sleep(ms, signal);
    } finally {
      if (isShort) shortSleeps -= 1;
    }
  },
};
beforeAll(async () => {
  server = await startTestServer({
    clock,
    wrapStore(store) {
      counted = countedStore(store);
      return counted.store;
    },
    // Nothing comes but what a test sends.
    runPipeline: noBuilder,
    // Nobody answers there, so that statuses only wait.
    env: { FLOE_GITHUB_REPOSITORY: 'ada/fleet', FLOE_GITHUB_TOKEN_FILE: '/token', FLOE_GITHUB_API_URL: 'http://127.0.0.1:9' },
  });
});
afterAll(async () => await server[Symbol.asyncDispose]());

function asked(): readonly string[] {
  return counted.calls().filter((call) => !BY_THE_CLOCK.some((prefix) => call.startsWith(prefix)));
}

/** What is asked until nothing more is asked: all that `act` sets going. */
async function askedFor(act: () => Promise<unknown> | void): Promise<readonly string[]> {
  await untilCalm();
  counted.reset();
  await act();
  await untilCalm();
  return asked();
}

/** Nothing is asked, and no loop gathers what it tells. */
async function untilCalm(): Promise<void> {
  let calm = 0;
  const look = (): true | undefined => {
    calm = counted.pending() === 0 && shortSleeps === 0 ? calm + 1 : 0;
    return calm >= 3 ? true : undefined;
  };
  await eventually('nothing more is asked', look);
}

function report(seq: number, changes: Partial<Report>): Report {
  const system = TOPLEVEL as Report['toplevel'];
  return {
    type: 'report',
    seq,
    epoch: 1,
    state: 'DOWNLOADING',
    toplevel: system,
    observed: { current: null, booted: null, profile: null },
    at: 1,
    ...changes,
  };
}

test('a report is stored, and told, by few looks at the store', async () => {
  const ada = await server.enrol('ada', TOPLEVEL);
  await using agent = await TestAgent.welcome(server.url, ada);
  await agent.next('directive');
  const calls = await askedFor(async () => {
    agent.send(report(1, {}));
    await agent.next('ack', ({ seq }) => seq === 1);
  });
  expect(calls).toEqual(expect.arrayContaining(['reports.store', 'outbox.putAll']));
  expect(calls.length, calls.join(' ')).toBeLessThanOrEqual(MOST_OF_A_REPORT);
});

test('a report that changes what the host should run is decided once, and told once', async () => {
  const eve = await server.enrol('eve', TOPLEVEL);
  await using agent = await TestAgent.welcome(server.url, eve);
  await agent.next('directive');
  const calls = await askedFor(async () => {
    agent.send(report(1, { state: 'ROLLED_BACK', detail: { code: 'CHECK_FAILED', message: 'no network' } }));
    await agent.next('ack', ({ seq }) => seq === 1);
  });
  expect(
    calls.filter((call) => call === 'hosts.fleet'),
    calls.join(' '),
  ).toHaveLength(2);
  expect(calls.filter((call) => call === 'outbox.putAll')).toHaveLength(1);
  expect(calls.length, calls.join(' ')).toBeLessThanOrEqual(MOST_OF_A_REPORT);
});

test('a publication is decided once, sent, and told once', async () => {
  const bob = await server.enrol('bob', TOPLEVEL);
  await using agent = await TestAgent.welcome(server.url, bob);
  await agent.next('directive');
  const publish = await toPublish(counted.store, server.repository, bob.host, `${TOPLEVEL}-2`);
  const calls = await askedFor(publish);
  expect(calls).toEqual(expect.arrayContaining(['releases.publish', 'hosts.desire', 'hosts.saveDirectives', 'outbox.putAll']));
  expect(calls.length, calls.join(' ')).toBeLessThanOrEqual(MOST_OF_A_PUBLICATION);
});

test('a look at one host reads no other one, nor what a commit has for others', async () => {
  const zoe = await server.enrol('zoe', TOPLEVEL);
  const calls = await askedFor(async () => {
    expect((await server.request(`/api/hosts/${zoe.host}`)).status).toBe(200);
  });
  expect(calls).toContain('revisions.evaluationsAbout');
  expect(calls).not.toContain('revisions.evaluations');
  expect(calls).not.toContain('revisions.evaluationsOf');
});
