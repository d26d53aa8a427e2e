import { NOTIFICATION_KINDS } from '@floe/model';
import { isFloeError } from '@floe/runtime';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseConfig, type Config } from '../config.ts';

const SECRETS: Record<string, string> = { '/run/secret': 'a-secret\n', '/run/empty': ' \n' };
const ENV = { FLOE_REPOSITORY_URL: 'https://git.example.org/family/fleet.git', FLOE_NOTIFY_FILE: '/etc/floe/notify.json' };

function configOf(file: unknown, env: Record<string, string> = ENV): Config {
  const files = { ...SECRETS, '/etc/floe/notify.json': typeof file === 'string' ? file : JSON.stringify(file) };
  return parseConfig(env, (path) => {
    const text = (files as Record<string, string>)[path];
    if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
    return text;
  });
}
function problemsOf(file: unknown, env?: Record<string, string>): string {
  try {
    configOf(file, env);
  } catch (error) {
    if (isFloeError(error, 'CONFIG_INVALID')) return error.message;
    throw error;
  }
  throw new Error('the configuration was accepted');
}

const WEBHOOK = { name: 'ops', kind: 'webhook', url: 'https://hooks.example.org/floe', secretFile: '/run/secret' };
const SLACK = { name: 'chat', kind: 'slack', urlFile: '/run/secret', events: ['rollout-paused', 'rollout-paused'] };
const MATRIX = { name: 'room', kind: 'matrix', homeserver: 'https://matrix.example.org/', room: '!abc:example.org', tokenFile: '/run/secret' };
const EMAIL = { name: 'mail', kind: 'email', host: 'smtp.example.org', from: 'Floe <floe@example.org>', to: ['ops@example.org'] };

describe('the notification targets', () => {
  test('are none without a file', () => {
    expect(configOf('', { FLOE_REPOSITORY_URL: ENV.FLOE_REPOSITORY_URL }).notify).toEqual([]);
  });

  test('of every kind are read, told of everything unless they say otherwise', async () => {
    const config = configOf({ targets: [WEBHOOK, SLACK, MATRIX, { ...EMAIL, user: 'floe', passwordFile: '/run/secret' }] });
    expect(config.notify).toMatchObject([
      { name: 'ops', address: { kind: 'webhook', url: WEBHOOK.url }, events: NOTIFICATION_KINDS },
      { name: 'chat', address: { kind: 'slack' }, events: ['rollout-paused'] },
      { name: 'room', address: { kind: 'matrix', homeserver: 'https://matrix.example.org' } },
      { name: 'mail', address: { kind: 'email', port: 587, security: 'starttls', login: { user: 'floe' } } },
    ]);
    // The sandbox looks whether the repository's code sees them.
    expect(config.secretFiles).toContain('/run/secret');
    expect(JSON.stringify(config)).not.toContain('a-secret');
  });

  test.each([
    ['no JSON', '{', 'FLOE_NOTIFY_FILE: not JSON'],
    ['nothing', '', 'is empty'],
    ['a word too many', { targets: [{ ...WEBHOOK, colour: 'red' }] }, 'targets.0.colour'],
    ['an unknown kind', { targets: [{ ...WEBHOOK, kind: 'pager' }] }, 'one of webhook, slack, matrix, email'],
    ['a name with spaces', { targets: [{ ...WEBHOOK, name: 'The Ops' }] }, 'targets.0.name: 1 to 32 lower-case letters'],
    ['a name twice', { targets: [WEBHOOK, { ...SLACK, name: 'ops' }] }, 'two targets are named ops'],
    ['an unknown event', { targets: [{ ...WEBHOOK, events: ['rollout-done'] }] }, 'one of commit-held'],
    ['a login in the URL', { targets: [{ ...WEBHOOK, url: 'https://ada:secret@hooks.example.org/' }] }, 'without a user name'],
    ['another scheme', { targets: [{ ...WEBHOOK, url: 'file:///etc/passwd' }] }, 'http:// or https://'],
    [
      'a secret that is away',
      { targets: [{ ...WEBHOOK, secretFile: '/run/none' }] },
      'secretFile of ops: the file /run/none cannot be read (ENOENT)',
    ],
    ['a secret that is empty', { targets: [{ ...WEBHOOK, secretFile: '/run/empty' }] }, 'the file /run/empty is empty'],
    ['a room by its alias', { targets: [{ ...MATRIX, room: '#ops:example.org' }] }, 'begins with !'],
    ['two recipients in one', { targets: [{ ...EMAIL, to: ['a@example.org, b@example.org'] }] }, 'targets.0.to.0: an address'],
    ['a header in an address', { targets: [{ ...EMAIL, from: 'a@example.org\r\nBcc: b@example.org' }] }, 'targets.0.from: an address'],
    ['a user without a password', { targets: [{ ...EMAIL, user: 'floe' }] }, 'set user and passwordFile, or neither'],
    ['a port that is none', { targets: [{ ...EMAIL, port: 0 }] }, 'targets.0.port'],
    ['too many', { targets: Array.from({ length: 17 }, (_, n) => ({ ...WEBHOOK, name: `ops${n}` })) }, 'at most 16'],
  ])('with %s are refused', (_what, file, message) => {
    expect(problemsOf(file)).toContain(message);
  });

  test('are called as their reader set them', () => {
    expect(problemsOf({ targets: [{ ...WEBHOOK, kind: 'x' }] }, { ...ENV, FLOE_CONFIGURED_BY: 'nixos' })).toContain(
      'services.floe.server.notifications',
    );
  });

  test('say what is wrong with any file, and fail at none', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.jsonValue(), fc.record({ targets: fc.array(fc.oneof(fc.jsonValue(), fc.constantFrom(WEBHOOK, SLACK, MATRIX, EMAIL))) })),
        (file) => {
          try {
            configOf(file);
          } catch (error) {
            if (!isFloeError(error, 'CONFIG_INVALID')) throw error;
          }
        },
      ),
      { numRuns: 200 },
    );
  });
});
