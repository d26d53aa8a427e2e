import type { HostName, StorePath } from '@floe/model';
import { HostReport, parseStored, peek, seal, SIGNED_REPORTS, type Envelope } from '@floe/protocol';
import { eventually } from '@floe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, TestAgent, type TestHost, type TestServer, TOPLEVEL } from '../test/test-server.ts';

let server: TestServer;
beforeAll(async () => void (server = await startTestServer()));
afterAll(async () => await server[Symbol.asyncDispose]());

const CAPABILITIES = [SIGNED_REPORTS];

async function welcomed(identity: TestHost): Promise<{ readonly agent: TestAgent; readonly nonce: string }> {
  const agent = await TestAgent.welcome(server.url, identity, { capabilities: CAPABILITIES });
  return { agent, nonce: (await agent.next('challenge')).nonce };
}

function reportOf({ host, machineId }: TestHost, nonce: string, changes: Partial<HostReport> = {}): HostReport {
  const toplevel = TOPLEVEL as StorePath;
  return {
    version: 1,
    host,
    machineId,
    bootId: 'boot-1',
    seq: 1,
    epoch: 1,
    state: 'SUCCEEDED',
    toplevel,
    release: null,
    floor: 0,
    isTrial: false,
    isOverridden: false,
    observed: { current: toplevel, booted: toplevel, profile: null },
    code: null,
    at: 1,
    nonce,
    ...changes,
  };
}

async function stored(host: HostName): Promise<readonly (readonly [string, number, Envelope])[]> {
  const all = await server.context.store.hostStatements.page(1_000);
  return all.filter((each) => each.host === host).map(({ kind, epoch, envelope }) => [kind, epoch, parseStored(envelope)] as const);
}

async function seqs(host: HostName): Promise<Record<string, number>> {
  const said = (await stored(host)).map(([kind, epoch, envelope]) => {
    const opened = peek(envelope, HostReport);
    return [`${kind} ${epoch}`, opened.kind === 'opened' ? opened.statement.seq : -1] as const;
  });
  return Object.fromEntries(said);
}

test('are asked of agents that can sign, and not of older ones, which refuse a field that they do not know', async () => {
  const [ada, bob] = [await server.enrol('ada'), await server.enrol('bob')];
  await using newer = await TestAgent.welcome(server.url, ada, { capabilities: CAPABILITIES });
  await using older = await TestAgent.welcome(server.url, bob, { capabilities: ['permit'] });
  expect(await newer.next('welcome')).toHaveProperty('signedReports', true);
  expect(await older.next('welcome')).not.toHaveProperty('signedReports');
});

test('A23: the newest of a host is stored as its host signed it, and one of each directive that ended', async () => {
  const eva = await server.enrol('eva');
  const { agent, nonce } = await welcomed(eva);
  await using _agent = agent;
  const tell = (changes: Partial<HostReport>): Envelope => {
    const envelope = seal(eva.signer, 'floe/report', reportOf(eva, nonce, changes));
    agent.send({ type: 'signed-report', envelope });
    return envelope;
  };
  tell({ seq: 3, epoch: 1 });
  tell({ seq: 9, epoch: 2, state: 'ROLLED_BACK' });
  const last = tell({ seq: 11, epoch: 3, state: 'IDLE' });
  tell({ seq: 10, epoch: 4 });
  await eventually('all are stored', async () => ((await stored(eva.host)).length === 4 ? true : undefined));
  expect(await seqs(eva.host)).toEqual({ 'newest 0': 11, 'end 1': 3, 'end 2': 9, 'end 4': 10 });
  expect((await stored(eva.host)).find(([kind]) => kind === 'newest')?.[2]).toEqual(last);
});

test('of another key, host, machine, start or connection, or of another kind, are not taken', async () => {
  const [fay, gus] = [await server.enrol('fay'), await server.enrol('gus')];
  const { agent, nonce } = await welcomed(fay);
  await using _agent = agent;
  const good = reportOf(fay, nonce);
  const send = (envelope: Envelope): void => agent.send({ type: 'signed-report', envelope });
  send(seal(gus.signer, 'floe/report', good));
  send(seal(fay.signer, 'floe/stage', good));
  send({ ...seal(fay.signer, 'floe/stage', good), type: 'floe/report' });
  send({ ...seal(fay.signer, 'floe/report', good), payload: seal(fay.signer, 'floe/report', { ...good, seq: 5 }).payload });
  for (const changes of [{ host: gus.host }, { machineId: 'b'.repeat(32) }, { bootId: 'boot-0' }, { nonce: 'of-another-connection' }])
    send(seal(fay.signer, 'floe/report', { ...good, ...changes }));
  const refused = (): number => server.lines.filter((line) => line.includes('a signed report is not taken') && line.includes('"fay"')).length;
  await eventually('all are refused', () => (refused() === 8 ? true : undefined));
  // Those before it were judged, and the connection holds.
  send(seal(fay.signer, 'floe/report', { ...good, seq: 7 }));
  await eventually('the right one is stored', async () => ((await stored(fay.host)).length === 2 ? true : undefined));
  expect(await seqs(fay.host)).toEqual({ 'newest 0': 7, 'end 1': 7 });
});
