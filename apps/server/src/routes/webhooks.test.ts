import { createHmac } from 'node:crypto';
import { FORGES } from '@floe/forge';
import { Secret, silentLogger, systemClock, type Logger } from '@floe/runtime';
import type { Delivery } from '@floe/store';
import { FORGE_WAYS, forgeDelivery, pushPayload, type DeliveringForge } from '@floe/testkit';
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
function withSecret(
  recorded: 'stored' | 'duplicate' = 'stored',
  secrets = [SECRET],
  followsTesting = false,
  forge: (typeof FORGES)[number] = 'github',
  repository = () => FAKE_REPOSITORY,
) {
  const stored: Delivery[] = [];
  const warnings: string[] = [];
  const logger: Logger = { ...silentLogger, warn: (message) => void warnings.push(message) };
  const store = {
    repositories: { get: async () => await Promise.resolve(repository()) },
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
      repository: repository(),
      secrets: secrets.map((secret) => ({ read: async () => await Promise.resolve(new Secret(secret)) })) as never,
      nameSettings: (message) => message,
      clock: systemClock,
      logger,
      forge,
      nameAtForge: undefined,
      followsTesting,
    },
  });
  const deliver = async (payload: unknown, headers: Record<string, string> = {}) => {
    const body = JSON.stringify(payload);
    return await app.ask('POST', '/webhooks/github', body, headersOf(body, headers));
  };
  return { ...app, deliver, stored, warnings };
}

describe('a push', () => {
  test('to the tracked branch is stored, and wakes the pipeline by that', async () => {
    const { deliver, stored } = withSecret();
    expect(await deliver(pushed())).toMatchObject({ status: 202, body: { message: 'taken' } });
    expect(stored).toMatchObject([{ forge: 'github', event: 'push', outcome: 'accepted', after: SHA, repositoryId: FAKE_REPOSITORY.id }]);
  });

  test('before the default branch is known wakes the server, to whichever branch, and afterwards only to that one', async () => {
    let branch = '';
    const { deliver, stored } = withSecret('stored', [SECRET], false, 'github', () => ({ ...FAKE_REPOSITORY, branch, ref: `refs/heads/${branch}` }));
    await deliver(pushed({ ref: 'refs/heads/master' }));
    branch = 'master';
    await deliver(pushed({ ref: 'refs/heads/master' }));
    await deliver(pushed({ ref: 'refs/heads/main' }));
    expect(stored.map(({ outcome }) => outcome)).toEqual(['accepted', 'accepted', 'other-branch']);
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
  ['issues', 200],
])('%s is answered, and stores nothing', async (event, status) => {
  const { deliver, stored } = withSecret();
  expect((await deliver({ zen: 'Keep it logically awesome.', repository: pushed().repository }, { 'x-github-event': event })).status).toBe(status);
  expect(stored).toEqual([]);
});

describe.each(Object.keys(FORGE_WAYS) as DeliveringForge[])('a webhook of %s', (sender) => {
  const forge = sender === 'gitea' ? 'forgejo' : sender;
  const told = { before: 'a'.repeat(40), after: SHA, login: 'AdaL', cloneUrl: FAKE_REPOSITORY.url };
  const send = async (app: ReturnType<typeof withSecret>, payload: unknown = pushPayload(sender, told), changes: Record<string, string> = {}) => {
    const { path, body, headers } = forgeDelivery(sender, payload, SECRET);
    return await app.ask('POST', path, JSON.parse(body), { authorization: '', ...headers, ...changes });
  };

  test('is stored with who pushed, when the repository is at that forge', async () => {
    const app = withSecret('stored', ['new', SECRET], false, forge);
    expect(await send(app)).toMatchObject({ status: 202, body: { message: 'taken' } });
    expect(app.stored).toMatchObject([{ forge, outcome: 'accepted', ref: 'refs/heads/main', before: told.before, after: SHA, pusher: 'adal' }]);
  });

  test.each(FORGES.filter((each) => each !== forge))('is refused when the repository is at %s, and the log says so', async (other) => {
    const app = withSecret('stored', [SECRET], false, other);
    expect(await send(app)).toMatchObject({ status: 404, code: 'FORGE_UNKNOWN', message: expect.stringContaining('FLOE_FORGE') as string });
    expect(app.stored).toEqual([]);
    expect(app.warnings).toEqual([expect.stringContaining(`webhooks of ${forge} are refused: this server's repository is at ${other}`)]);
  });

  test('that comes again is one delivery, and the deletion of the branch moves nothing', async () => {
    const app = withSecret('duplicate', [SECRET], false, forge);
    expect((await send(app)).status).toBe(200);
    await send(app);
    expect(new Set(app.stored.map(({ id }) => id)).size).toBe(1);
    expect((await send(app, pushPayload(sender, { ...told, after: '0'.repeat(40) }))).status).toBe(200);
    expect(app.stored.at(-1)).toMatchObject({ outcome: 'branch-deleted' });
  });

  test.each([
    ['of another event', {}, FORGE_WAYS[sender].otherEvent, 200],
    ['with a wrong proof', {}, { [FORGE_WAYS[sender].proof]: '0'.repeat(64) }, 401],
    ['without a proof', {}, { [FORGE_WAYS[sender].proof]: '' }, 401],
    ['of another repository', { cloneUrl: 'https://forge.example/eve.git' }, {}, 404],
    ['that tries the webhook', { before: SHA }, {}, 200],
  ])('%s stores nothing', async (_what, changes, headers: Record<string, string>, status) => {
    const app = withSecret('stored', [SECRET], false, forge);
    expect((await send(app, pushPayload(sender, { ...told, ...changes }), headers)).status).toBe(status);
    expect(app.stored).toEqual([]);
  });

  test.each([
    ['git@forge.example:ada/fleet.git', 'https://forge.example:3000/ada/fleet.git', 'ssh://git@forge.example/ada/fleet.git', 202],
    ['ssh://git@forge.example:2222/ada/fleet', 'https://forge.example/ada/fleet.git', '', 202],
    ['git@ssh.forge.example:ada/fleet.git', 'https://forge.example/ada/fleet.git', 'git@ssh.forge.example:ada/fleet.git', 202],
    ['git@forge.example:ada/fleet.git', 'https://forge.example/eve/fleet.git', 'git@forge.example:eve/fleet.git', 404],
    ['git@forge.example:ada/fleet.git', 'https://other.example/ada/fleet.git', 'git@other.example:ada/fleet.git', 404],
  ])('to a repository that is fetched over SSH is known by any of its addresses: %s, %s, %s', async (url, cloneUrl, sshUrl, status) => {
    const app = withSecret('stored', [SECRET], false, forge, () => ({ ...FAKE_REPOSITORY, url }));
    expect((await send(app, pushPayload(sender, { ...told, cloneUrl, sshUrl }))).status).toBe(status);
  });

  test('that is too large is not read to its end', async () => {
    const app = withSecret('stored', [SECRET], false, forge);
    const { path, headers } = forgeDelivery(sender, {}, SECRET);
    let sent = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sent += 1;
        if (sent > 100) controller.close();
        else controller.enqueue(new Uint8Array(1024 * 1024));
      },
    });
    const response = await app.app.request(path, { method: 'POST', headers, body, duplex: 'half' });
    expect(response.status).toBe(413);
    expect(sent).toBeLessThan(40);
    expect(app.stored).toEqual([]);
  });
});

test('a delivery by another method says which one', async () => {
  const { ask } = withSecret();
  const answer = await ask('GET', '/webhooks/github', undefined, { authorization: '' });
  expect(answer).toMatchObject({ status: 405, code: 'METHOD_NOT_ALLOWED' });
  expect(answer.headers.get('allow')).toBe('POST');
});
