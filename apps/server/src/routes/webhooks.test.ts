import { createHmac } from 'node:crypto';
import { Secret, silentLogger, systemClock } from '@floe/runtime';
import type { Delivery } from '@floe/store';
import { SHA } from '@floe/views/fixtures';
import { describe, expect, test } from 'vitest';
import { FAKE_REPOSITORY, fakeApp } from '../test/fake-app.ts';

const SECRET = 'a-long-enough-secret';

function pushed(changes: Record<string, unknown> = {}) {
  return {
    ref: 'refs/heads/main',
    before: '0'.repeat(40),
    after: SHA,
    deleted: false,
    forced: false,
    repository: { full_name: 'ada/fleet', clone_url: FAKE_REPOSITORY.url },
    ...changes,
  };
}

function headersOf(body: string, changes: Record<string, string> = {}) {
  return {
    'x-github-event': 'push',
    'x-github-delivery': '0b989ba4-242f-11e5-81e1-c7b6966d2516',
    'x-hub-signature-256': `sha256=${createHmac('sha256', SECRET).update(body).digest('hex')}`,
    authorization: '',
    ...changes,
  };
}

/** The app with a secret, and the deliveries that were stored. */
function withSecret(recorded: 'stored' | 'duplicate' = 'stored', secrets = [SECRET], followsTesting = false) {
  const stored: Delivery[] = [];
  const store = {
    deliveries: {
      async record(delivery: Delivery) {
        stored.push(delivery);
        return await Promise.resolve(recorded);
      },
    },
  };
  const app = fakeApp({
    store,
    webhooks: {
      store,
      repository: FAKE_REPOSITORY,
      secrets: secrets.map((secret) => ({ read: async () => await Promise.resolve(new Secret(secret)) })) as never,
      nameSettings: (message) => message,
      clock: systemClock,
      logger: silentLogger,
      forge: undefined,
      followsTesting,
    },
  });
  const deliver = async (payload: unknown, headers: Record<string, string> = {}) => {
    const body = JSON.stringify(payload);
    return await app.ask('POST', '/webhooks/github', body, headersOf(body, headers));
  };
  return { ...app, deliver, stored };
}

describe('a push', () => {
  test('to the tracked branch is stored, and wakes the pipeline by that', async () => {
    const { deliver, stored } = withSecret();
    expect(await deliver(pushed())).toMatchObject({ status: 202, body: { message: 'taken' } });
    expect(stored).toMatchObject([{ forge: 'github', event: 'push', outcome: 'accepted', after: SHA, repositoryId: FAKE_REPOSITORY.id }]);
  });

  test('that comes again, under another id too, is one delivery', async () => {
    const { deliver, stored } = withSecret('duplicate');
    expect((await deliver(pushed())).status).toBe(200);
    await deliver(pushed(), { 'x-github-delivery': '11111111-242f-11e5-81e1-c7b6966d2516' });
    expect(new Set(stored.map(({ id }) => id)).size).toBe(1);
  });

  test.each([
    ['to another branch', pushed({ ref: 'refs/heads/wip' }), 'other-branch'],
    ['that deletes the tracked branch', pushed({ deleted: true, after: '0'.repeat(40) }), 'branch-deleted'],
  ])('%s is noted, and moves nothing', async (_what, payload, outcome) => {
    const { deliver, stored } = withSecret();
    expect((await deliver(payload)).status).toBe(202);
    expect(stored).toMatchObject([{ outcome }]);
  });

  test('to a branch testing/HOST wakes the pipeline, also when it deletes it, where such branches are followed', async () => {
    const pushes = [pushed({ ref: 'refs/heads/testing/ada' }), pushed({ ref: 'refs/heads/testing/ada', deleted: true, after: '0'.repeat(40) })];
    for (const payload of pushes) {
      const { deliver, stored } = withSecret('stored', [SECRET], true);
      expect(await deliver(payload)).toMatchObject({ status: 202, body: { message: 'taken' } });
      expect(stored).toMatchObject([{ outcome: 'testing-branch', ref: 'refs/heads/testing/ada' }]);
      const off = withSecret();
      await off.deliver(payload);
      expect(off.stored.map(({ outcome }) => outcome)).not.toContain('testing-branch');
    }
  });

  test.each([
    [
      'of a repository that this server does not track',
      pushed({ repository: { full_name: 'eve/fleet', clone_url: 'https://forge.example/eve.git' } }),
      {},
      404,
    ],
    ['with a signature of somebody else', pushed(), { 'x-hub-signature-256': `sha256=${'0'.repeat(64)}` }, 401],
    ['without a signature', pushed(), { 'x-hub-signature-256': '' }, 401],
    ['without the name of its event', pushed(), { 'x-github-event': '' }, 400],
    ['without a commit', pushed({ after: 7 }), {}, 422],
  ])('%s is not stored', async (_what, payload, headers, status) => {
    const { deliver, stored } = withSecret();
    expect((await deliver(payload, headers)).status).toBe(status);
    expect(stored).toEqual([]);
  });

  test('to a server without a secret says what to set, and is not read', async () => {
    const { deliver, stored } = withSecret('stored', []);
    const answer = await deliver(pushed());
    expect(answer).toMatchObject({ status: 403, code: 'WEBHOOKS_NOT_CONFIGURED' });
    expect(answer.message).toContain('FLOE_WEBHOOK_SECRET_FILE');
    expect(stored).toEqual([]);
  });
});

test.each([
  ['ping', 200],
  ['issues', 202],
])('%s is answered, and stores nothing', async (event, status) => {
  const { deliver, stored } = withSecret();
  expect((await deliver({ zen: 'Keep it logically awesome.', repository: pushed().repository }, { 'x-github-event': event })).status).toBe(status);
  expect(stored).toEqual([]);
});

test('a delivery by another method says which one', async () => {
  const { ask } = withSecret();
  const answer = await ask('GET', '/webhooks/github', undefined, { authorization: '' });
  expect(answer).toMatchObject({ status: 405, code: 'METHOD_NOT_ALLOWED' });
  expect(answer.headers.get('allow')).toBe('POST');
});
