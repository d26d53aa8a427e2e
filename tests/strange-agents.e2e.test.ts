import { CLOSE_CODES, helloBytes, MAX_FRAME_BYTES } from '@floe/protocol';
import { createHostIdentity, eventually, exampleFleetFiles, TestFleet, testNixSettings, type HostIdentity } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { FakeAgent } from './fake-agent.ts';

let fleet: TestFleet;
const ada = createHostIdentity('ada', 'a'.repeat(32));

async function enrol(identity: HostIdentity): Promise<Response> {
  const { token } = await fleet.enrolmentToken(identity.host);
  return await enrolWith(token, identity);
}
async function enrolWith(token: string, { host, machineId, signer }: HostIdentity): Promise<Response> {
  const body = JSON.stringify({ token, host, machineId, publicKey: signer.publicKey, system: 'x86_64-linux' });
  return await fetch(`${fleet.serverUrl}/api/enrol`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
}

/** What the server says and does to someone who introduces themselves so. */
async function refusalOf(
  identity: HostIdentity,
  changes: Parameters<FakeAgent['hello']>[1] = {},
): Promise<{ code: string; message: string; closeCode: number }> {
  await using agent = await FakeAgent.connect(fleet.serverUrl);
  await agent.hello(identity, changes);
  const { code, message } = await agent.next('refusal');
  return { code, message, closeCode: (await agent.closed).code };
}

beforeAll(async () => {
  fleet = await TestFleet.create({ files: await exampleFleetFiles(), nixConfig: testNixSettings, hasPostgres: true });
  await fleet.startServer();
  await fleet.settled(await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
  expect((await enrol(ada)).status).toBe(201);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

describe('enrolment', () => {
  it('takes a token once, for its host only', async () => {
    const { token } = await fleet.enrolmentToken('bob');
    const bob = createHostIdentity('bob', 'b'.repeat(32));
    const other = await enrolWith(token, createHostIdentity('cyd', 'c'.repeat(32)));
    expect([other.status, await other.text()]).toEqual([403, expect.stringContaining('ENROLMENT_TOKEN_OTHER_HOST')]);
    const both = await Promise.all([enrolWith(token, bob), enrolWith(token, createHostIdentity('bob', 'd'.repeat(32)))]);
    expect(both.map((each) => each.status).toSorted((left, right) => left - right)).toEqual([201, 403]);
    const guessed = await enrolWith('x'.repeat(32), bob);
    expect([guessed.status, await guessed.text()]).toEqual([403, expect.stringContaining('ENROLMENT_TOKEN_INVALID')]);
  });
});

describe('an unused enrolment token', () => {
  it('is void once a newer one was made, and once the host was revoked', async () => {
    const dan = createHostIdentity('dan', '1'.repeat(32));
    const older = (await fleet.enrolmentToken('dan')).token;
    expect((await enrol(dan)).status).toBe(201);
    expect((await enrolWith(older, dan)).status).toBe(403);
    const open = (await fleet.enrolmentToken('dan')).token;
    const revoked = await fleet.request('/api/hosts/dan/enrolment', { method: 'DELETE', body: JSON.stringify({ reason: 'stolen' }) });
    expect(revoked.status).toBe(204);
    expect((await enrolWith(open, dan)).status).toBe(403);
    expect(await refusalOf(dan)).toMatchObject({ code: 'HOST_REVOKED' });
  });
});

describe('an agent', () => {
  it('with its key is welcome and told what to run', async () => {
    await using agent = await FakeAgent.connect(fleet.serverUrl);
    await agent.hello(ada);
    expect(await agent.next('welcome')).toMatchObject({ reportSeq: 0 });
    expect((await agent.next('directive')).envelope).toMatchObject({ type: 'floe/directive', keyId: 'server-1' });
  });

  it('that nobody enrolled, with an unknown key, or of another protocol is refused with what to do', async () => {
    expect(await refusalOf(createHostIdentity('zoe', 'f'.repeat(32)))).toMatchObject({
      code: 'HOST_NOT_ENROLLED',
      closeCode: CLOSE_CODES.unauthorized,
      message: expect.stringContaining('floe enrol zoe') as string,
    });
    expect(await refusalOf(createHostIdentity('ada', 'a'.repeat(32)))).toMatchObject({
      code: 'HOST_KEY_UNKNOWN',
      closeCode: CLOSE_CODES.unauthorized,
    });
    expect(await refusalOf(ada, { protocol: 99 })).toMatchObject({
      code: 'PROTOCOL_UNSUPPORTED',
      closeCode: CLOSE_CODES.protocolUnsupported,
      message: expect.stringContaining('upgrade the server') as string,
    });
    expect(await refusalOf(ada, { protocol: 0 })).toMatchObject({
      code: 'PROTOCOL_UNSUPPORTED',
      message: expect.stringContaining('upgrade the agent') as string,
    });
  });

  it('that replays a hello of another connection is refused', async () => {
    await using first = await FakeAgent.connect(fleet.serverUrl);
    const { nonce } = await first.next('challenge');
    const recorded = ada.signer.sign(helloBytes({ nonce, host: ada.host, machineId: ada.machineId, bootId: 'boot-1' }));
    expect(await refusalOf(ada, { signature: recorded })).toMatchObject({ code: 'HOST_KEY_UNKNOWN' });
  });

  it.each([
    ['garbage', 'hello?', CLOSE_CODES.badMessage],
    ['JSON of another form', '{"type":"attack"}', CLOSE_CODES.badMessage],
    ['bytes', Buffer.from([1, 2, 3]), CLOSE_CODES.badMessage],
    ['more than a frame may hold', 'x'.repeat(MAX_FRAME_BYTES + 1), CLOSE_CODES.badMessage],
  ])('that sends %s is cut off; the server goes on', async (_name, data, code) => {
    await using agent = await FakeAgent.connect(fleet.serverUrl);
    await agent.next('challenge');
    agent.sendRaw(data);
    expect((await agent.closed).code).toBe(code);
    await using good = await FakeAgent.connect(fleet.serverUrl);
    await good.hello(ada);
    await good.next('welcome');
  });

  it('that stores the same report twice is acknowledged twice, and it is stored once', async () => {
    await using agent = await FakeAgent.connect(fleet.serverUrl);
    await agent.hello(ada);
    await agent.next('welcome');
    const report = {
      type: 'report',
      seq: 1,
      epoch: 0,
      state: 'IDLE',
      toplevel: null,
      observed: { current: null, booted: null, profile: null },
      at: 1,
    };
    agent.send(report);
    expect((await agent.next('ack')).seq).toBe(1);
    agent.send(report);
    await eventually('both are acknowledged', () => (agent.messages.filter((message) => message.type === 'ack').length === 2 ? true : undefined));
    const reports = (await (await fleet.request('/api/hosts/ada/reports')).json()) as unknown[];
    expect(reports).toHaveLength(1);
  });

  it('comes a second time with the same machine: the newer connection stays', async () => {
    await using first = await FakeAgent.connect(fleet.serverUrl);
    await first.hello(ada);
    await first.next('welcome');
    await using second = await FakeAgent.connect(fleet.serverUrl);
    await second.hello(ada);
    await second.next('welcome');
    expect((await first.closed).code).toBe(CLOSE_CODES.replaced);
  });

  it('whose key turns up on a second machine: both are shut out until an administrator decides', async () => {
    await using first = await FakeAgent.connect(fleet.serverUrl);
    await first.hello(ada);
    await first.next('welcome');
    const stolen = { ...ada, machineId: 'e'.repeat(32) };
    expect(await refusalOf(stolen)).toMatchObject({ code: 'HOST_CLONED', closeCode: CLOSE_CODES.cloned });
    expect((await first.closed).code).toBe(CLOSE_CODES.cloned);
    expect(await refusalOf(ada)).toMatchObject({ code: 'HOST_CLONED' });
    expect(await fleet.hostView('ada')).toMatchObject({ standing: 'cloned', problem: expect.stringContaining('two machines') as string });
    const retry = await fleet.request('/api/hosts/ada/quarantine', { method: 'DELETE', body: JSON.stringify({ reason: 'the clone was wiped' }) });
    expect(retry.status).toBe(204);
    await using again = await FakeAgent.connect(fleet.serverUrl);
    await again.hello(ada);
    await again.next('welcome');
  });

  it('whose enrolment was revoked is cut off at once and refused, until it is enrolled again', async () => {
    await using agent = await FakeAgent.connect(fleet.serverUrl);
    await agent.hello(ada);
    await agent.next('welcome');
    expect((await fleet.request('/api/hosts/ada/enrolment', { method: 'DELETE', body: JSON.stringify({ reason: 'lost in a train' }) })).status).toBe(
      204,
    );
    expect((await agent.closed).code).toBe(CLOSE_CODES.unauthorized);
    expect(await refusalOf(ada)).toMatchObject({ code: 'HOST_REVOKED' });
    expect((await enrol(ada)).status).toBe(201);
    await using again = await FakeAgent.connect(fleet.serverUrl);
    await again.hello(ada);
    await again.next('welcome');
  });
});

describe('the API', () => {
  it.each(['/api/enrol', '/api/session'])('answers 400 to what is no JSON at %s', async (path) => {
    for (const body of ['{', '']) {
      const answer = await fetch(`${fleet.serverUrl}${path}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
      expect([answer.status, await answer.text()]).toEqual([400, expect.stringContaining('JSON')]);
    }
  });

  it('tells nothing without a token or with a wrong one', async () => {
    for (const headers of [{}, { authorization: 'Bearer guessed-token' }]) {
      const answer = await fetch(`${fleet.serverUrl}/api/fleet`, { headers });
      expect([answer.status, await answer.text()]).toEqual([401, expect.stringContaining('UNAUTHENTICATED')]);
    }
  });

  it('serves the cache and nothing else of its folder', async () => {
    expect((await fetch(`${fleet.serverUrl}/cache/nix-cache-info`)).status).toBe(200);
    for (const path of [
      '/cache/../keys/cache.secret',
      '/cache/%2e%2e/keys/cache.secret',
      '/cache/..%2fkeys%2fcache.secret',
      '/cache/nar/..%2f..%2fadmin-token',
    ]) {
      expect((await fetch(`${fleet.serverUrl}${path}`)).status).toBe(404);
    }
  });
});
