import { CLOSE_CODES, helloBytes, PROTOCOL_VERSION, type Hello } from '@floe/protocol';
import { generateKeyPem, signerFromPem, verifySignature } from '@floe/runtime';
import { NOTHING_OBSERVED } from '@floe/model';
import type { HostRow } from '@floe/store';
import { createHostIdentity, helloOf } from '@floe/testkit';
import { describe, expect, test } from 'vitest';
import { judgeHello, MAX_EPOCH_JUMP, signatureOf } from './admission.ts';

const identity = createHostIdentity('ada');
const { host, machineId } = identity;
const nonce = 'nonce-of-this-connection';

const hello = (changes: Partial<Hello> = {}): Hello => helloOf(identity, nonce, changes);

const row: HostRow = {
  host,
  repositoryId: '1',
  machineId,
  publicKey: identity.signer.publicKey,
  enrolledAt: 1,
  epoch: 0,
  observed: NOTHING_OBSERVED,
  state: 'IDLE',
  isConnected: false,
  acceptedSequence: 0,
  reportSeq: 0,
};

const judge = (said: Hello, of: HostRow | undefined, forNonce: string) => judgeHello(said, of, signatureOf(said, forNonce));

describe('a hello', () => {
  test('is welcome with the enrolled key, machine and this nonce', () => {
    expect(judge(hello(), row, nonce)).toEqual({ kind: 'welcome' });
  });
  test('of another connection is refused: a recorded hello is worth nothing', () => {
    expect(judge(hello(), row, 'another-nonce')).toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
  });
  test('of a host that nobody enrolled is refused, and says how to enrol', () => {
    expect(judge(hello(), undefined, nonce)).toMatchObject({ code: 'HOST_NOT_ENROLLED', closeCode: CLOSE_CODES.unauthorized });
  });
  test('with an unknown key is refused', () => {
    const stranger = signerFromPem('host', generateKeyPem());
    expect(judge(hello(), { ...row, publicKey: stranger.publicKey }, nonce)).toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
  });
  test('with a revoked key is refused', () => {
    expect(judge(hello(), { ...row, revokedAt: 2 }, nonce)).toMatchObject({ code: 'HOST_REVOKED' });
  });
  test('with the right key from another machine is a clone', () => {
    expect(judge(hello({ machineId: 'b'.repeat(32) }), row, nonce)).toMatchObject({ kind: 'cloned' });
  });
  test('of a host whose key was cloned is refused, on the first machine too', () => {
    expect(judge(hello(), { ...row, clonedAt: 2 }, nonce)).toMatchObject({ kind: 'refused', closeCode: CLOSE_CODES.cloned });
  });
  test.each<[string, Partial<Hello>, HostRow | undefined, string]>([
    ['nobody enrolled it', {}, undefined, nonce],
    ['its key is unknown', {}, row, 'another-nonce'],
    ['it was revoked', {}, { ...row, revokedAt: 2 }, nonce],
    ['its machine id is another one', { machineId: 'b'.repeat(32) }, row, nonce],
    ['two machines used its key', {}, { ...row, clonedAt: 2 }, nonce],
  ])('that is refused as %s says by which command a person ends that', (_why, changes, of, forNonce) => {
    expect(judge(hello(changes), of, forNonce)).toMatchObject({ message: expect.stringContaining('"floe enrol ada"') as string });
  });
  test.each([PROTOCOL_VERSION + 1, 0])('of protocol %i is refused, and says which side to upgrade', (protocol) => {
    expect(judge(hello({ protocol }), row, nonce)).toMatchObject({
      closeCode: CLOSE_CODES.protocolUnsupported,
      message: expect.stringContaining(protocol > PROTOCOL_VERSION ? 'upgrade the server' : 'upgrade the agent'),
    });
  });
  test('of a host that was told a little more than is known here is welcome: a database that was restored', () => {
    expect(judge(hello({ epoch: 12 + MAX_EPOCH_JUMP }), { ...row, epoch: 12 }, nonce)).toEqual({ kind: 'welcome' });
  });
  test.each([13 + MAX_EPOCH_JUMP, 2 ** 52])(
    'with the epoch %i, to which the fleet would have to follow, is refused, and says the way back',
    (epoch) => {
      expect(judge(hello({ epoch }), { ...row, epoch: 12 }, nonce)).toMatchObject({
        kind: 'refused',
        code: 'EPOCH_TOO_FAR',
        message: expect.stringContaining('floe-agent forget epoch'),
      });
    },
  );
  test('is verified once with each key, however often it is judged', () => {
    const keys: string[] = [];
    const isSignedBy = signatureOf(hello(), nonce, (publicKey, ...rest) => {
      keys.push(publicKey);
      return verifySignature(publicKey, ...rest);
    });
    const stranger = { ...row, publicKey: signerFromPem('host', generateKeyPem()).publicKey };
    expect([isSignedBy(row), isSignedBy(stranger), isSignedBy({ ...row, epoch: 1 }), isSignedBy(stranger), isSignedBy(undefined)]).toEqual([
      true,
      false,
      true,
      false,
      false,
    ]);
    expect(keys).toEqual([row.publicKey, stranger.publicKey]);
  });
  test('a stranger with an unknown key cannot shut a host out as a clone', () => {
    const stranger = signerFromPem('host', generateKeyPem());
    const forged = hello({ machineId: 'b'.repeat(32) });
    const signature = stranger.sign(helloBytes({ nonce, host, machineId: forged.machineId, bootId: forged.bootId }));
    expect(judge({ ...forged, signature }, row, nonce)).toMatchObject({ kind: 'refused', code: 'HOST_KEY_UNKNOWN' });
  });
});
