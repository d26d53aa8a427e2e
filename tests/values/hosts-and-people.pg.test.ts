import { createHmac } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { EnrolmentTokenResponse, FleetView, Hello, HostView, Progress, Report, ReportLogView, ReportView, type HostName } from '@floe/protocol';
import { generateKeyPem, signerFromPem } from '@floe/runtime';
import { startPostgres } from '@floe/testkit';
import fc from 'fast-check';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestServer, TestAgent, type TestHost, type TestServer } from '../../apps/server/src/test/test-server.ts';
import { ReasonText } from '../../apps/server/src/routes/validation.ts';
import { arbitraryOf } from '../../libs/testkit/src/schemas/arbitrary-of.ts';
import { host, machineId, oddNumber, oddText, pushPayload } from './from-outside.ts';
import { CommandLine, EventReader, expectBounded, expectReadable, overTheWire } from './shown.ts';

// What a schema accepts can be stored, read back, and shown to everybody who looks, on both databases: a server in this
// process is told made-up values through its own socket and its own API, and asked through them.

/** However many cases are asked for, and however busy the machine. */
const SUPERSESSION_LIMIT_MS = 600_000;
/** Few, since each is a host's whole life; more by FLOE_FUZZ_RUNS. The embedded database is the slower one. */
const RUNS = { PGlite: 4, Postgres: 8 };
/** Reports so far behind the newest are let go. */
const KEEP_REPORTS = 1_000;

/** A hello without what is its connection's. */
const OwnWords = v.omit(Hello, ['type', 'protocol', 'signature']);

const said = fc.record({
  host,
  machineId,
  hello: arbitraryOf(OwnWords),
  reports: fc.uniqueArray(arbitraryOf(Report), { minLength: 1, maxLength: 4, selector: ({ seq }) => seq }),
  progress: arbitraryOf(Progress),
  reason: arbitraryOf(ReasonText),
});
type Said = typeof said extends fc.Arbitrary<infer Value> ? Value : never;

describe.each(['PGlite', 'Postgres'] as const)('what hosts and people say, on %s,', (database) => {
  const stack = new AsyncDisposableStack();
  const numRuns = fc.readConfigureGlobal().numRuns ?? RUNS[database];
  let server: TestServer;
  let floe: CommandLine;
  let events: EventReader;

  beforeAll(async () => {
    const url = database === 'Postgres' ? stack.use(await startPostgres()).url : undefined;
    const folder = await mkdtemp(join(tmpdir(), 'floe-values-'));
    stack.defer(async () => await rm(folder, { recursive: true }));
    const secretFile = join(folder, 'secret');
    await writeFile(secretFile, 'test-secret');
    const env = { FLOE_WEBHOOK_SECRET_FILE: secretFile, ...(url === undefined ? {} : { DATABASE_URL: url }) };
    server = stack.use(await startTestServer({ env }));
    floe = stack.use(await CommandLine.open(server.url, server.token));
    events = stack.use(new EventReader(server.url, server.token));
  });
  afterAll(async () => await stack.disposeAsync());

  async function ask<Schema extends v.GenericSchema>(schema: Schema, path: string, init: RequestInit = {}): Promise<v.InferOutput<Schema>> {
    const answer = await server.request(path, init);
    const text = await answer.text();
    expect(answer.ok, `${path}: ${answer.status} ${text.slice(0, 500)}`).toBe(true);
    return overTheWire(schema, JSON.parse(text));
  }

  async function enrol(name: HostName, machine: string): Promise<TestHost> {
    const { token } = await ask(EnrolmentTokenResponse, `/api/hosts/${name}/enrolment-tokens`, { method: 'POST' });
    const signer = signerFromPem('host', generateKeyPem());
    const body = JSON.stringify({ token, host: name, machineId: machine, publicKey: signer.publicKey, system: 'x86_64-linux' });
    const answer = await fetch(`${server.url}/api/enrol`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
    expect([answer.status, await answer.text()]).toEqual([201, JSON.stringify({ host: name })]);
    return { host: name, machineId: machine, signer };
  }

  /** Connects as it says; one whose epoch is too far is refused and told of, and comes again with another. */
  async function connect(identity: TestHost, hello: v.InferOutput<typeof OwnWords>): Promise<TestAgent> {
    const changes = { ...hello, host: identity.host, machineId: identity.machineId };
    if (hello.epoch > 1_000_000) {
      await using refused = new TestAgent(server.url);
      await refused.hello(identity, changes);
      expectReadable((await refused.next('refusal')).message, 'refusal');
      expect((await ask(HostView, `/api/hosts/${identity.host}`)).trouble?.code).toBe('EPOCH_TOO_FAR');
    }
    return await TestAgent.welcome(server.url, identity, { ...changes, epoch: hello.epoch % 1_000_000 });
  }

  async function tell({ host: name, machineId: machine, reason, ...input }: Said): Promise<void> {
    const identity = await enrol(v.parse(v.unknown(), name) as HostName, machine);
    const hello = v.parse(OwnWords, input.hello);
    const reports = input.reports.map((each) => v.parse(Report, each)).toSorted((one, other) => one.seq - other.seq);
    const newest = reports.at(-1)!;
    await using agent = await connect(identity, hello);
    for (const report of input.reports.toSorted((one, other) => one.seq - other.seq)) agent.send(report);
    agent.send(input.progress);
    await agent.next('ack', ({ seq }) => seq >= newest.seq);

    // What was stored is what was said.
    const listed = await ask(v.array(ReportView), `/api/hosts/${name}/reports?limit=1000`);
    const [{ series } = { series: -1 }] = listed;
    const ofNow = listed.filter((each) => each.series === series);
    for (const report of reports) {
      const found = ofNow.find(({ seq }) => seq === report.seq);
      if (found === undefined) {
        expect(report.seq, 'a report is gone').toBeLessThanOrEqual(newest.seq - KEEP_REPORTS);
        continue;
      }
      const { seq, epoch, state, toplevel, observed, detail = null, timings = null, at } = report;
      expect(found).toMatchObject({ host: name, seq, epoch, state, toplevel, observed, detail, timings, at });
    }
    if (newest.log !== undefined) {
      expect(await ask(ReportLogView, `/api/hosts/${name}/reports/${series}/${newest.seq}/log`)).toEqual({ log: newest.log });
    }
    const decides = newest.seq >= hello.reportSeq ? newest : hello;
    const given = (await server.context.store.repositories.get(server.repository.id)).sequence;
    expect(await ask(HostView, `/api/hosts/${name}`)).toMatchObject({
      host: name,
      trouble: hello.sequence > given ? { code: 'SEQUENCE_UNKNOWN' } : null,
      state: decides.state,
      stateToplevel: decides.toplevel,
      observed: decides.observed,
      agentVersion: hello.agentVersion,
      machineId: machine,
    });
    await floe.print('hosts', name);

    const body = JSON.stringify({ reason });
    const revoked = await server.request(`/api/hosts/${name}/enrolment`, {
      method: 'DELETE',
      headers: { 'content-type': 'application/json' },
      body,
    });
    expect([revoked.status, await revoked.text()]).toEqual([204, '']);
    const [entry] = await server.context.store.audit.list({ limit: 1 });
    expect(entry).toMatchObject({ action: 'revoke', subject: name, detail: v.parse(ReasonText, reason) });
  }

  /** Everything that people can look at. */
  async function lookAtAll(): Promise<void> {
    await ask(FleetView, '/api/fleet');
    for (const command of ['status', 'hosts', 'events']) await floe.print(command);
    const errors = server.lines.filter((line) => line.includes('"level":"error"'));
    expect(errors.filter((line) => !line.includes('EPOCH_TOO_FAR'))).toEqual([]);
  }

  test('is stored as it was said, and can be shown', { timeout: SUPERSESSION_LIMIT_MS }, async () => {
    await fc.assert(fc.asyncProperty(said, tell), { numRuns, endOnFailure: true });
    await lookAtAll();
    expect(events.events.length).toBeGreaterThan(numRuns);
  });

  test('and is rejected by a schema, is refused with a reason, without other effects', { timeout: SUPERSESSION_LIMIT_MS }, async () => {
    const good = await enrol(v.parse(v.unknown(), 'witness') as HostName, 'f'.repeat(32));
    await using witness = await TestAgent.welcome(server.url, good);
    let seq = 0;
    const place = fc.nat({ max: 20 });
    const beyond = fc.record({ host, message: fc.oneof(arbitraryOf(Report), arbitraryOf(Progress)), place, number: oddNumber, text: oddText });
    await fc.assert(
      fc.asyncProperty(beyond, async (odd) => {
        const identity = await enrol(v.parse(v.unknown(), odd.host) as HostName, 'a'.repeat(32));
        await using agent = await TestAgent.welcome(server.url, identity);
        const before = (await ask(v.array(ReportView), `/api/hosts/${odd.host}/reports`)).length;
        // One number and one text of the message become others.
        let [numbers, texts] = [odd.place, odd.place];
        const frame = JSON.stringify(odd.message)
          .replaceAll(/(?<=":)-?\d[\d.e+-]*/g, (found) => (numbers-- === 0 ? odd.number : found))
          .replaceAll(/(?<=":)"(?:[^"\\]|\\.)*"/g, (found) => (texts-- === 1 ? JSON.stringify(odd.text) : found));
        agent.socket.send(frame);
        const settled = await Promise.race([
          agent.closed.then(() => 'refused' as const),
          agent.next('ack').then(
            () => 'stored' as const,
            () => 'refused' as const,
          ),
          // A progress is never answered: what is sent behind it is.
          ...('doneBytes' in odd.message ? [sendBehind(agent)] : []),
        ]);
        if (settled === 'refused') {
          const refusal = agent.messages.find((each) => each.type === 'refusal');
          expectBounded(refusal?.type === 'refusal' ? refusal.message : '', 'refusal');
          expect(await ask(v.array(ReportView), `/api/hosts/${odd.host}/reports`)).toHaveLength(before);
        }
        await ask(HostView, `/api/hosts/${odd.host}`);
        seq += 1;
        witness.send({
          type: 'report',
          seq,
          epoch: 0,
          state: 'IDLE',
          toplevel: null,
          observed: { current: null, booted: null, profile: null },
          at: seq,
        });
        await witness.next('ack', (ack) => ack.seq >= seq);
      }),
      { numRuns, endOnFailure: true },
    );
    await lookAtAll();
  });

  test('and a forge says, is stored or refused in a sentence', { timeout: SUPERSESSION_LIMIT_MS }, async () => {
    const { store } = server.context;
    await fc.assert(
      fc.asyncProperty(pushPayload(server.repository.url), async (payload) => {
        const body = Buffer.from(JSON.stringify(payload));
        const headers = {
          'content-type': 'application/json',
          'x-github-event': 'push',
          'x-github-delivery': 'd',
          'x-hub-signature-256': `sha256=${createHmac('sha256', 'test-secret').update(body).digest('hex')}`,
        };
        const answer = await fetch(`${server.url}/webhooks/github`, { method: 'POST', headers, body });
        const text = await answer.text();
        expect(answer.status, text).toBeLessThan(500);
        expectBounded(text, 'answer to a webhook');
        if (answer.status !== 202 || !text.includes('taken')) return;
        const pushes = await store.deliveries.newestPushes(server.repository.id);
        expect(pushes.map(({ after }) => after)).toContain(payload['after']);
      }),
      { numRuns: 4 * numRuns, endOnFailure: true },
    );
    await lookAtAll();
  });
});

/** A report that is behind whatever was sent; settles when it is acknowledged. */
async function sendBehind(agent: TestAgent): Promise<'stored' | 'refused'> {
  agent.send({ type: 'report', seq: 1, epoch: 0, state: 'IDLE', toplevel: null, observed: { current: null, booted: null, profile: null }, at: 1 });
  return await agent.next('ack').then(
    () => 'stored' as const,
    () => 'refused' as const,
  );
}
