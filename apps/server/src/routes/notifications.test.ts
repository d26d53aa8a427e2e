import { NotificationTargetViews, NotificationTested } from '@floe/protocol';
import { Secret, silentLogger, systemClock, type SecretSource } from '@floe/runtime';
import type { NotificationTargetState } from '@floe/store';
import { startHttpReceiver } from '@floe/testkit';
import * as v from 'valibot';
import { Notifications } from '../notifications/notifications.ts';
import type { NotifyTarget } from '../notifications/notify-config.ts';
import { expect, test } from 'vitest';
import { fakeApp } from '../test/fake-app.ts';

const SECRET = 'a-secret-that-nobody-else-has';
const secret: SecretSource = { setting: 'FLOE_NOTIFY_FILE', read: async () => await Promise.resolve(new Secret(SECRET)) };

const unused = async () => await Promise.reject(new Error('not asked here'));
const store = { ensure: unused, put: unused, claim: unused, markSent: unused, markFailed: unused };

function appFor(targets: readonly NotifyTarget[], states: readonly NotificationTargetState[] = []) {
  return fakeApp({
    notifications: new Notifications({
      notices: () => [],
      targets,
      store: { ...store, states: async () => await Promise.resolve(states) },
      clock: systemClock,
      random: () => 0.5,
      logger: silentLogger,
      publicUrl: 'https://floe.example.org',
      troubles: { of: () => undefined },
      onProblem: () => undefined,
    }),
  });
}
const webhook = (url: string): NotifyTarget => ({ name: 'ops', address: { kind: 'webhook', url, secret }, events: ['commit-held'] });

test('the list has no secret of any target', async () => {
  const { ask } = appFor([
    webhook('https://hooks.example.org/in-the-path?token=in-the-query'),
    { name: 'chat', address: { kind: 'slack', url: secret }, events: ['rollout-paused'] },
    { name: 'room', address: { kind: 'matrix', homeserver: 'https://matrix.example.org', room: '!ops:example.org', token: secret }, events: [] },
    {
      name: 'mail',
      address: {
        kind: 'email',
        host: 'smtp.example.org',
        port: 587,
        security: 'starttls',
        from: 'floe@example.org',
        to: ['ops@example.org'],
        login: { user: 'floe', password: secret },
      },
      events: [],
    },
  ]);
  const { status, body } = await ask('GET', '/api/notifications');
  expect(status).toBe(200);
  expect(v.parse(NotificationTargetViews, body).map(({ name, destination }) => [name, destination])).toEqual([
    ['ops', 'https://hooks.example.org'],
    ['chat', 'the URL in its file'],
    ['room', '!ops:example.org at matrix.example.org'],
    ['mail', 'ops@example.org'],
  ]);
  expect(JSON.stringify(body)).not.toMatch(/in-the|nobody-else/);
});

test('a test is sent, answered with what the target said, and in the audit log', async () => {
  await using receiver = await startHttpReceiver();
  receiver.answer = (response) => void response.end('taken');
  const { ask, audit } = appFor([webhook(`${receiver.url}/hook`)]);
  const { status, body } = await ask('POST', '/api/notifications/ops/test');
  expect(status).toBe(200);
  expect(v.parse(NotificationTested, body)).toMatchObject({ isSent: true, answer: 'HTTP 200: taken' });
  expect(audit).toMatchObject([{ actor: 'ada', action: 'test-notification', subject: 'ops', detail: 'sent: HTTP 200: taken' }]);
  expect(JSON.parse(receiver.received[0]?.body ?? '')).toMatchObject({ kind: 'test', text: 'ada sent it with: floe notify test ops' });

  receiver.answer = (response) => void response.writeHead(500).end();
  expect((await ask('POST', '/api/notifications/ops/test')).body).toMatchObject({ isSent: false, answer: 'answered HTTP 500' });
  expect(audit).toMatchObject([{}, { detail: 'failed: answered HTTP 500' }]);
});

test('a target that does not exist is named', async () => {
  const { ask, audit } = appFor([]);
  expect(await ask('POST', '/api/notifications/ops/test')).toMatchObject({ status: 404, code: 'TARGET_UNKNOWN' });
  expect(audit).toEqual([]);
});

test('the list says how it goes with each', async () => {
  const failing = { since: 5, failures: 3, error: 'answered HTTP 500' };
  const { ask } = appFor(
    [webhook('https://hooks.example.org/'), { ...webhook('https://hooks.example.org/'), name: 'new' }],
    [{ name: 'ops', lastSentAt: 4, failing, waiting: 2 }],
  );
  expect((await ask('GET', '/api/notifications')).body).toMatchObject([
    { name: 'ops', lastSentAt: 4, waiting: 2, problem: { since: 5, message: 'answered HTTP 500' } },
    { name: 'new', lastSentAt: null, waiting: 0, problem: null },
  ]);
});
