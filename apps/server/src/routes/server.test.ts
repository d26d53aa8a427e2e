import { FloeError } from '@floe/runtime';
import { expect, test } from 'vitest';
import type { ClockTrouble } from '../server-clock.ts';
import { fakeApp } from '../test/fake-app.ts';

const clock = ['POST', '/api/server/clock', { reason: 'the battery was empty' }] as const;

/** What happens when a clock with this trouble is accepted, in its order; `isStored`: the database takes it. */
async function accepted(trouble: ClockTrouble, isStored = true) {
  const happens: string[] = [];
  const app = fakeApp({
    store: {
      server: {
        setClockHigh: async (at) => {
          happens.push(`stored ${at}`);
          await (isStored ? Promise.resolve() : Promise.reject(new FloeError('STORE_UNREACHABLE', 'away', { retryable: true })));
        },
      },
    },
    serverClock: { trouble: () => trouble, accept: ({ kind }) => void happens.push(`accepted ${kind}`) },
    onClockAccepted: ({ was }) => void happens.push(`told ${was}`),
  });
  return { ...app, happens, ...(await app.ask(...clock)) };
}

test('a clock that is doubted is accepted with who and why, and counts once that is stored', async () => {
  const { status, body, audit, happens } = await accepted({ kind: 'AHEAD', shown: 5, used: 3 });
  expect([status, body]).toEqual([200, { was: 'AHEAD', now: 5 }]);
  expect(audit).toMatchObject([{ actor: 'ada', action: 'accept-clock', subject: new Date(5).toISOString(), detail: 'the battery was empty' }]);
  expect(happens).toEqual(['stored 5', 'accepted AHEAD', 'told AHEAD']);
  // Of a difference nothing is stored but that it was accepted.
  const differs = await accepted({ kind: 'DIFFERS', shown: 5, database: 9 });
  expect([differs.audit.length, differs.happens]).toEqual([1, ['accepted DIFFERS', 'told DIFFERS']]);
});

test('a clock whose acceptance is not stored is doubted as before', async () => {
  const { status, audit, happens } = await accepted({ kind: 'BEHIND', shown: 5, before: 9 }, false);
  expect([status, audit, happens]).toEqual([503, [], ['stored 5']]);
});

test('a clock that nobody doubts is left alone', async () => {
  const { ask, audit } = fakeApp();
  expect(await ask(...clock)).toMatchObject({ status: 409, code: 'CLOCK_NOT_DOUBTED' });
  expect(audit).toEqual([]);
});

test('being ready is told with what is wrong, and without a credential', async () => {
  const notice = { code: 'HINTS_LATE', message: 'steps come later', since: 1 };
  const ready = fakeApp({ notices: () => [notice] });
  expect(await ready.ask('GET', '/readyz', undefined, { authorization: '' })).toMatchObject({
    status: 200,
    body: { status: 'ready', notices: ['steps come later'] },
  });
  const broken = fakeApp({ notReady: async () => await Promise.resolve(['the database does not take a write']) });
  expect(await broken.ask('GET', '/readyz', undefined, { authorization: '' })).toMatchObject({
    status: 503,
    body: { status: 'not-ready', reasons: ['the database does not take a write'] },
  });
  expect(broken.calls).toEqual([]);
});
