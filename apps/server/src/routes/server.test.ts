import { expect, test } from 'vitest';
import { fakeApp } from '../test/fake-app.ts';

const clock = ['POST', '/api/server/clock', { reason: 'the battery was empty' }] as const;

test('a clock that is doubted is accepted, with who and why', async () => {
  const { ask, audit } = fakeApp({ acceptClock: async () => await Promise.resolve({ was: 'AHEAD', now: 5 }) });
  expect(await ask(...clock)).toMatchObject({ status: 200, body: { was: 'AHEAD', now: 5 } });
  expect(audit).toMatchObject([{ actor: 'ada', action: 'accept-clock', detail: 'the battery was empty' }]);
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
