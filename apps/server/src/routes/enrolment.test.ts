import { NOTHING_OBSERVED } from '@floe/model';
import { HostName } from '@floe/protocol';
import { generateKeyPem, signerFromPem } from '@floe/runtime';
import type { ConsumedToken, HostRow } from '@floe/store';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { fakeApp } from '../test/fake-app.ts';

const ada = v.parse(HostName, 'ada');
const { publicKey } = signerFromPem('host', generateKeyPem());
const REQUEST = { token: 'one-time-token-of-32-characters-', host: 'ada', machineId: 'a'.repeat(32), publicKey, system: 'x86_64-linux' };
const ROW: HostRow = {
  host: ada,
  repositoryId: 'repository',
  publicKey,
  epoch: 3,
  observed: NOTHING_OBSERVED,
  state: 'IDLE',
  isConnected: true,
  acceptedSequence: 0,
  reportSeq: 0,
};

/** The app, and what was written, in order. */
function withToken(consumed: ConsumedToken, row: HostRow | undefined = ROW) {
  const order: string[] = [];
  const note = (what: string) => async () => void (await Promise.resolve(order.push(what)));
  const app = fakeApp({
    store: {
      hosts: {
        get: async () => await Promise.resolve(row),
        enrol: async ({ machineId }) => {
          order.push(`enrol ${machineId}`);
          return await Promise.resolve(ROW);
        },
        revoke: note('revoke'),
      },
      tokens: {
        consumeEnrolmentToken: async (token, host) => {
          order.push(`consume ${token} ${host}`);
          return await Promise.resolve(consumed);
        },
        createEnrolmentToken: note('token'),
        voidEnrolmentTokens: note('void'),
      },
    },
    statements: { appendEnrolment: note('statement'), appendRevocation: note('revocation statement'), appendRename: note('rename statement') },
  });
  return { ...app, order };
}

describe('an enrolment', () => {
  test('is in the statement log before it is in the database, and ends older connections', async () => {
    const { ask, order, audit, disconnected, changed } = withToken({ kind: 'consumed' });
    expect(await ask('POST', '/api/enrol', REQUEST, { authorization: '' })).toMatchObject({ status: 201, body: { host: 'ada' } });
    expect(order).toEqual(['consume one-time-token-of-32-characters- ada', 'statement', `enrol ${REQUEST.machineId}`]);
    expect(audit).toMatchObject([{ actor: 'ada', action: 'enrol', subject: 'ada' }]);
    expect([disconnected, changed]).toEqual([['ada: enrolled again'], ['ada']]);
  });

  test.each(['unknown', 'expired', 'used', 'other-host'] as const)('with a token that is %s writes nothing, and says what to do', async (kind) => {
    const { ask, order, audit } = withToken({ kind });
    const answer = await ask('POST', '/api/enrol', REQUEST, { authorization: '' });
    expect(answer).toMatchObject({ status: 403, code: expect.stringMatching(/^ENROLMENT_TOKEN_/) as string });
    expect(answer.message).toContain('floe enrol HOST');
    expect([order, audit]).toEqual([['consume one-time-token-of-32-characters- ada'], []]);
  });

  test('is refused to an address that guesses, and to no other one', async () => {
    const { ask } = withToken({ kind: 'unknown' });
    const tryFrom = async (address: string): Promise<number> =>
      (await ask('POST', '/api/enrol', REQUEST, { authorization: '', 'x-forwarded-for': address })).status;
    const statuses: number[] = [];
    for (let guess = 0; guess < 25; guess += 1) statuses.push(await tryFrom('198.51.100.1'));
    expect(statuses.filter((status) => status === 403).length).toBeLessThanOrEqual(21);
    expect(statuses.at(-1)).toBe(429);
    expect(await tryFrom('198.51.100.2')).toBe(403);
  });

  test.each([
    ['a host name that none can have', { ...REQUEST, host: '../etc' }],
    ['a key that is none', { ...REQUEST, publicKey: 'x' }],
    ['no token', { ...REQUEST, token: undefined }],
    ['text', 'enrol me'],
  ])('with %s uses no token up', async (_what, body) => {
    const { ask, order } = withToken({ kind: 'consumed' });
    expect((await ask('POST', '/api/enrol', body, { authorization: '' })).status).toBe(400);
    expect(order).toEqual([]);
  });
});

test('an enrolment token is made for one host, shown once, and goes with what the host must pin', async () => {
  const { ask, order, audit } = withToken({ kind: 'consumed' });
  const answer = await ask('POST', '/api/hosts/ada/enrolment-tokens');
  expect(answer).toMatchObject({ status: 201, body: { host: 'ada', releaseKeys: [], serverKeys: [] } });
  const { token } = answer.body as { token: string };
  expect(token).toMatch(/^[\w-]{32}$/);
  expect(order).toEqual(['token']);
  expect(JSON.stringify(audit)).not.toContain(token);
});

describe('a revocation', () => {
  const revoke = ['DELETE', '/api/hosts/ada/enrolment', { reason: 'stolen' }] as const;

  test('is in the statement log first, takes the tokens, and ends the connection', async () => {
    const { ask, order, audit, disconnected } = withToken({ kind: 'consumed' });
    expect((await ask(...revoke)).status).toBe(204);
    expect(order).toEqual(['revocation statement', 'void', 'revoke']);
    expect(audit).toMatchObject([{ actor: 'ada', action: 'revoke', detail: 'stolen' }]);
    expect(disconnected).toEqual(['ada: revoked']);
  });

  test.each([
    ['not there', undefined, 404, 'HOST_UNKNOWN'],
    ['not enrolled', { ...ROW, publicKey: undefined }, 409, 'HOST_NOT_ENROLLED'],
    ['revoked already', { ...ROW, revokedAt: 5 }, 409, 'HOST_REVOKED'],
  ])('of a host that is %s is refused', async (_what, row, status, code) => {
    const app =
      row === undefined ? fakeApp({ store: { hosts: { get: async () => await Promise.resolve(undefined) } } }) : withToken({ kind: 'consumed' }, row);
    expect(await app.ask(...revoke)).toMatchObject({ status, code });
    expect(app.audit).toEqual([]);
  });
});
