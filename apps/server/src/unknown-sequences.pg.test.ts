import type { HostName } from '@floe/model';
import { FleetView, HostView } from '@floe/protocol';
import { attentionOf } from '@floe/views';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { publishCommit, system } from './test/commits.ts';
import { startTestServer, TestAgent, type TestServer } from './test/test-server.ts';

// Nothing signs which sequence an agent says that it accepted.

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer();
});
afterAll(async () => await server[Symbol.asyncDispose]());

async function view(host: string): Promise<HostView> {
  return v.parse(HostView, JSON.parse((await server.ask('GET', `hosts/${host}`)).text));
}

let pushed = 0;
async function push(): Promise<number> {
  pushed += 1;
  return (await publishCommit(server, { ada: system(`ada${pushed}`), bob: system(`bob${pushed}`) })).sequence;
}

async function newest(): Promise<number> {
  return (await server.context.store.repositories.get(server.repository.id)).sequence;
}

test('a host that says a sequence which nobody gave is shown with that, and numbers go on without it', async () => {
  const before = await push();
  const identity = await server.enrol('ada');
  {
    await using _liar = await TestAgent.welcome(server.url, identity, { sequence: before + 900_000 });
    const { trouble, problem } = await view('ada');
    expect(trouble).toMatchObject({
      code: 'SEQUENCE_UNKNOWN',
      message: expect.stringContaining(`${before + 900_000}, and the newest one here is ${before}`),
    });
    expect(problem).toContain('floe-agent forget sequence');
    const fleet = v.parse(FleetView, JSON.parse((await server.ask('GET', 'fleet')).text));
    expect(attentionOf(fleet).map(({ subject, words }) => [subject, words])).toContainEqual(['ada', 'has a problem']);
    expect(await push()).toBe(before + 1);
    expect((await view('ada')).trouble?.code).toBe('SEQUENCE_UNKNOWN');
  }
  // Its agent forgot that.
  await using _honest = await TestAgent.welcome(server.url, identity, { sequence: 0 });
  expect((await view('ada')).trouble).toBeNull();
});

test('a host that was told more by a database that is lost has that problem until the next commit, which is above it', async () => {
  const before = await push();
  await using _agent = await TestAgent.welcome(server.url, await server.enrol('bob'), { sequence: before + 57 });
  expect((await view('bob')).trouble?.code).toBe('SEQUENCE_UNKNOWN');
  expect(await newest()).toBe(before);
  expect(await push()).toBe(before + 58);
  expect((await view('bob')).trouble).toBeNull();
});

test('what a host says does not count any more when it was revoked', async () => {
  const before = await push();
  await using _agent = await TestAgent.welcome(server.url, await server.enrol('eve'), { sequence: before + 57 });
  expect((await server.ask('DELETE', 'hosts/eve/enrolment', { reason: 'stolen' })).status).toBe(204);
  expect((await view('eve')).trouble).toBeNull();
  expect(await server.context.store.hosts.get('eve' as HostName)).toMatchObject({ acceptedSequence: before + 57 });
  expect(await push()).toBe(before + 1);
});
