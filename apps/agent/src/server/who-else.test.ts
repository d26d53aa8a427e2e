import type { Clock } from '@floe/runtime';
import { expect, test } from 'vitest';
import type { WhoAnswers } from './network.ts';
import { WhoElse } from './who-else.ts';

const PORTAL: WhoAnswers = { kind: 'other', url: 'http://floe.example.org:80', who: 'a captive portal answered' };

/** Of a machine in a network where this is answered, or never anything. */
function inNetwork(answer: WhoAnswers | undefined, connection: { isWelcomed: boolean; stranger?: string } = { isWelcomed: false }) {
  const machine = { nowMs: 0, asked: 0, answer, connection };
  const { signal } = new AbortController();
  const clock: Pick<Clock, 'sinceBoot' | 'sleep'> = { sinceBoot: () => machine.nowMs, sleep: async () => await Promise.resolve() };
  const deps = {
    connection: {
      get isWelcomed() {
        return machine.connection.isWelcomed;
      },
      get stranger() {
        return machine.connection.stranger;
      },
    },
    whoAnswers: async () => {
      machine.asked += 1;
      return await (machine.answer === undefined ? new Promise<never>(() => undefined) : Promise.resolve(machine.answer));
    },
    clock,
  };
  return { machine, whoElse: new WhoElse(deps), signal };
}

test('a portal that drops what is encrypted is found by what it answers elsewhere, and is asked once a minute at most', async () => {
  const { machine, whoElse, signal } = inNetwork(PORTAL);
  expect(await whoElse.find(signal)).toBe('a captive portal answered');
  machine.nowMs = 59_000;
  expect(await whoElse.find(signal)).toBe('a captive portal answered');
  expect(machine.asked).toBe(1);
  machine.answer = { kind: 'nobody' };
  machine.nowMs = 61_000;
  expect([await whoElse.find(signal), machine.asked]).toEqual([null, 2]);
});

test.each<[string, WhoAnswers | undefined]>([
  ['a cache answers', { kind: 'cache' }],
  ['nobody answers', { kind: 'nobody' }],
  ['no answer comes in time', undefined],
])('there is no stranger where %s', async (_what, answer) => {
  const { whoElse, signal } = inNetwork(answer);
  expect(await whoElse.find(signal)).toBeNull();
});

test('who answered the connection itself needs no question, and a connected machine knows of no stranger', async () => {
  const { machine, whoElse, signal } = inNetwork(PORTAL, { isWelcomed: false, stranger: 'a proxy answered' });
  expect([await whoElse.find(signal), machine.asked]).toEqual(['a proxy answered', 0]);
  machine.connection = { isWelcomed: false };
  expect(await whoElse.find(signal)).toBe('a captive portal answered');
  machine.connection = { isWelcomed: true };
  expect(await whoElse.find(signal)).toBeNull();
  // After a login that was too short, what was said before it does not count.
  machine.connection = { isWelcomed: false };
  machine.answer = { kind: 'nobody' };
  expect(await whoElse.find(signal)).toBeNull();
});
