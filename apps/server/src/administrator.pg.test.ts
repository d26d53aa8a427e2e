import type { CommitSha, HostAction, StorePath } from '@floe/model';
import { HostName, HostView } from '@floe/protocol';
import { decisionRequest } from '@floe/views';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MovedClock } from './test/moved-clock.ts';
import { noBuilder, startTestServer, type TestServer } from './test/test-server.ts';

const HOUR = 3600_000;
const REASON = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"reason":"because"}' };
const TOPLEVEL = `/nix/store/${'a'.repeat(32)}-nixos-system-x` as StorePath;
const name = (text: string): HostName => v.parse(HostName, text);

const clock = new MovedClock();
let server: TestServer;
// One server for all: each test has hosts and commits of its own, and the clock is set back last.
beforeAll(async () => {
  server = await startTestServer({ clock, runPipeline: noBuilder });
});
afterAll(async () => await server[Symbol.asyncDispose]());

async function ask(method: string, path: string): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await server.request(path, { ...REASON, method });
  const text = await response.text();
  return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
}
const refusal = (code: string) => ({ error: { code, message: expect.any(String) as string } });
async function shownHosts(): Promise<string[]> {
  const hosts = (await (await server.request('/api/hosts')).json()) as { host: string }[];
  return hosts.map(({ host }) => host);
}

/** A commit that was taken in, with what its hosts came to. */
async function receive(
  digit: string,
  outcomes: Readonly<Record<string, 'NEW' | 'REMOVED' | 'UNCHANGED'>>,
  at: 'evaluating' | 'published' = 'published',
) {
  const { store } = server.context;
  const about = { subject: 'Change', authorName: 'Ada', authorEmail: 'ada@example.org', committedAt: 1 };
  const revision = await store.revisions.receive(server.repository.id, { sha: digit.repeat(40) as CommitSha, ...about, receivedAt: 1, fetchedAt: 1 });
  for (const event of ['accepted', 'verified'] as const) await store.revisions.advance(revision.id, event, 1);
  await store.revisions.saveEvaluations(
    revision.id,
    Object.entries(outcomes).map(([host, outcome]) => ({ host: name(host), outcome })),
  );
  await store.hosts.ensure(server.repository.id, Object.keys(outcomes).map(name));
  if (at === 'evaluating') return revision;
  await store.revisions.advance(revision.id, 'evaluated', 1);
  await store.releases.publish(revision.id, [], 1);
  return revision;
}

describe('the page', () => {
  test('decides as floe does: for who is signed in, from its own pages, with the reason in the audit log', async () => {
    const { store } = server.context;
    let cookie = '';
    let site = 'same-origin';
    async function send(method: string, path: string, body: object): Promise<{ readonly status: number; readonly text: string }> {
      const headers = { 'content-type': 'application/json', 'sec-fetch-site': site, cookie };
      const response = await fetch(`${server.url}${path}`, { method, headers, body: JSON.stringify(body) });
      cookie = response.headers.get('set-cookie')?.split(';', 1)[0] ?? cookie;
      return { status: response.status, text: await response.text() };
    }
    async function decide(kind: HostAction, reason: string) {
      const { method, path, body } = decisionRequest({ kind, host: 'zoe' });
      return await send(method, path, { ...body, reason });
    }
    await server.enrol('zoe');
    const why = 'stolen on the train';
    expect(await decide('revoke', why)).toMatchObject({ status: 401 });
    expect(await send('POST', '/api/session', { token: server.token })).toMatchObject({ status: 204 });
    site = 'cross-site';
    expect(await decide('revoke', why)).toMatchObject({ status: 403, text: expect.stringContaining('the page of this server') as string });
    site = 'same-origin';
    const actions = async () => {
      const host = v.parse(HostView, await (await server.request('/api/hosts/zoe')).json());
      return host.actions.join();
    };
    // What is offered is what is taken.
    expect(await actions()).toBe('revoke');
    expect(await decide('forget', why)).toMatchObject({ status: 409, text: expect.stringContaining('floe revoke zoe') as string });
    expect(await decide('retry', why)).toMatchObject({ status: 409, text: expect.stringContaining('no release yet') as string });
    expect(await decide('revoke', why)).toMatchObject({ status: 204 });
    expect(await actions()).toBe('forget');
    expect(await decide('forget', 'scrapped')).toMatchObject({ status: 204 });
    const [forgot, revoked] = await store.audit.list({ limit: 2 });
    expect(revoked).toMatchObject({ actor: forgot?.actor, action: 'revoke', subject: 'zoe', detail: why });
    expect(forgot).toMatchObject({ action: 'forget', subject: 'zoe', detail: 'scrapped' });
  });
});

describe('floe evaluate', () => {
  test('tries a commit that waits for something again now', async () => {
    const revision = await receive('a', {}, 'evaluating');
    expect(await ask('POST', '/api/revisions/aaaaaaa/evaluate')).toEqual({ status: 409, body: refusal('REVISION_UNDER_WAY') });
    await server.context.store.revisions.noteError(revision.id, 'waiting for input nixpkgs');
    const before = (await server.context.store.repositories.get(server.repository.id)).hintCount;
    expect(await ask('POST', '/api/revisions/aaaaaaa/evaluate')).toEqual({ status: 200, body: { sha: 'a'.repeat(40), outcome: 'retried' } });
    expect((await server.context.store.repositories.get(server.repository.id)).hintCount).toBe(before + 1);
  });

  test('opens one that ended again, and only the newest', async () => {
    await receive('b', { ada: 'NEW' });
    expect(await ask('POST', '/api/revisions/bbbbbbb/evaluate')).toEqual({ status: 200, body: { sha: 'b'.repeat(40), outcome: 'reopened' } });
    expect(await ask('POST', '/api/revisions/ccccccc/evaluate')).toEqual({ status: 409, body: refusal('REVISION_NOT_NEWEST') });
  });

  test('sends one that is held to floe accept', async () => {
    const { sha } = await receive('d', {}, 'evaluating');
    await server.context.store.repositories.recordFetch(server.repository.id, { now: 1, held: { commit: sha, reason: 'a force-push' } });
    const { status, body } = await ask('POST', '/api/revisions/ddddddd/evaluate');
    expect(status).toBe(409);
    expect(body).toMatchObject({ error: { code: 'REVISION_HELD', message: expect.stringContaining(`floe accept ${sha}`) as string } });
  });
});

describe('floe forget', () => {
  test('is for a host that was revoked and left the flake; the others say what comes first', async () => {
    await server.enrol('ada', TOPLEVEL);
    await receive('0', { ada: 'UNCHANGED', eve: 'NEW' });
    expect(await ask('DELETE', '/api/hosts/nobody')).toEqual({ status: 404, body: refusal('HOST_UNKNOWN') });
    expect(await ask('DELETE', '/api/hosts/ada')).toEqual({ status: 409, body: refusal('HOST_IN_FLAKE') });
    await receive('1', { ada: 'REMOVED', eve: 'UNCHANGED' });
    expect(await ask('DELETE', '/api/hosts/ada')).toEqual({ status: 409, body: refusal('HOST_ENROLLED') });
    expect((await ask('DELETE', '/api/hosts/ada/enrolment')).status).toBe(204);
    expect(await ask('DELETE', '/api/hosts/ada/enrolment')).toEqual({ status: 409, body: refusal('HOST_REVOKED') });
    expect(await ask('DELETE', '/api/hosts/eve')).toEqual({ status: 409, body: refusal('HOST_IN_FLAKE') });
    expect((await ask('DELETE', '/api/hosts/ada')).status).toBe(204);
    expect(await shownHosts()).not.toContain('ada');
    expect(await ask('DELETE', '/api/hosts/ada')).toEqual({ status: 404, body: refusal('HOST_UNKNOWN') });
  });

  test('reaches those who watch, by a new snapshot', async () => {
    await server.enrol('bob', TOPLEVEL);
    await receive('2', { bob: 'REMOVED', eve: 'NEW' });
    const stopping = new AbortController();
    const response = await server.request('/api/events', { signal: stopping.signal });
    const seen: string[][] = [];
    const reading = (async () => {
      let text = '';
      for await (const chunk of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
        text += chunk;
        const snapshots = [...text.matchAll(/event: snapshot\ndata: (.*)\n\n/g)].map(
          ([, json = '']) => JSON.parse(json) as { hosts: { host: string }[] },
        );
        seen.splice(0, seen.length, ...snapshots.map(({ hosts }) => hosts.map(({ host }) => host)));
      }
    })().catch(() => undefined);
    await expect.poll(() => seen.length, { timeout: 30_000 }).toBeGreaterThan(0);
    await ask('DELETE', '/api/hosts/bob/enrolment');
    expect((await ask('DELETE', '/api/hosts/bob')).status).toBe(204);
    await expect.poll(() => seen.at(-1), { timeout: 30_000 }).not.toContain('bob');
    stopping.abort();
    await reading;
  });

  test('is not needed for hosts that were never enrolled: they go with the commit that removes them, and no later than it', async () => {
    const { store } = server.context;
    await server.enrol('cyd', TOPLEVEL);
    await receive('3', { cyd: 'UNCHANGED', eve: 'NEW', joe: 'NEW' });
    const without = await receive('4', { cyd: 'REMOVED', eve: 'UNCHANGED', joe: 'REMOVED' });
    await receive('5', { eve: 'UNCHANGED', zoe: 'NEW' }, 'evaluating');
    expect(await store.hosts.forgetLeft(server.repository.id, without.id)).toEqual([]); // The newer one decides.
    const newest = await receive('6', { eve: 'UNCHANGED', zoe: 'NEW' });
    expect(await store.hosts.forgetLeft(server.repository.id, newest.id)).toContain('joe');
    expect((await store.hosts.list(server.repository.id)).map(({ host }) => host)).toEqual(['cyd', 'eve', 'zoe']);
  });
});

describe('floe revoke', () => {
  test('of a host that is not enrolled, or not there, says so', async () => {
    await receive('3', { eve: 'NEW' });
    expect(await ask('DELETE', '/api/hosts/eve/enrolment')).toEqual({ status: 409, body: refusal('HOST_NOT_ENROLLED') });
    expect(await ask('DELETE', '/api/hosts/nobody/enrolment')).toEqual({ status: 404, body: refusal('HOST_UNKNOWN') });
  });
});

describe('floe accept clock', () => {
  test('changes nothing, and says so, while nobody doubts the clock', async () => {
    expect(await ask('POST', '/api/server/clock')).toEqual({ status: 409, body: refusal('CLOCK_NOT_DOUBTED') });
  });

  test('ends the doubt of a clock that was set back, at once; that the database’s differs is a doubt of its own', async () => {
    clock.offsetMs = -48 * HOUR;
    await expect
      .poll(async () => (await (await server.request('/api/fleet')).json()) as object, { timeout: 60_000 })
      .toMatchObject({
        repository: { notices: [{ code: 'CLOCK_BEHIND' }] },
      });
    const { status, body } = await ask('POST', '/api/server/clock');
    expect([status, body]).toEqual([200, { was: 'BEHIND', now: expect.closeTo(Date.now() - 48 * HOUR, -5) as number }]);
    expect(await (await server.request('/api/fleet')).json()).toMatchObject({ repository: { notices: [] } });
    expect(await ask('POST', '/api/server/clock')).toMatchObject({ status: 200, body: { was: 'DIFFERS' } });
    expect(await ask('POST', '/api/server/clock')).toEqual({ status: 409, body: refusal('CLOCK_NOT_DOUBTED') });
  });
});
