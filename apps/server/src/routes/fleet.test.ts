import { NOTHING_OBSERVED, type CommitSha, type RevisionState } from '@floe/model';
import { HostName, type RevisionView } from '@floe/protocol';
import type { ListedReport, Repository, Revision } from '@floe/store';
import { fleetView, revisionView, SHA } from '@floe/views/fixtures';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { FAKE_REPOSITORY, FAKE_TOKEN, fakeApp, fakeTokenOf, type FakeStore } from '../test/fake-app.ts';

const OTHER = '0123456789'.repeat(4) as CommitSha;
const answer =
  <Result>(result: Result) =>
  async (): Promise<Result> =>
    await Promise.resolve(result);

function revision(changes: Partial<Revision> = {}): Revision {
  return { id: 'revision', sha: SHA, state: 'PUBLISHED', sequence: 7, ...changes } as Revision;
}

describe('the fleet', () => {
  test('is told as the reader puts it together', async () => {
    const fleet = fleetView();
    const { ask } = fakeApp({ reader: { fleet: answer(fleet) } });
    expect((await ask('GET', '/api/fleet')).body).toEqual(JSON.parse(JSON.stringify(fleet)));
    expect((await ask('GET', '/api/hosts')).body).toEqual(JSON.parse(JSON.stringify(fleet.hosts)));
  });

  test('has a host, or says that there is none of that name', async () => {
    const [host] = fleetView().hosts;
    const { ask } = fakeApp();
    expect((await ask('GET', `/api/hosts/${host?.host}`)).body).toEqual(JSON.parse(JSON.stringify(host)));
    expect(await ask('GET', '/api/hosts/nobody')).toMatchObject({ status: 404, code: 'HOST_UNKNOWN', message: 'there is no host nobody' });
  });
});

describe('reports of a host', () => {
  const report = {
    host: v.parse(HostName, 'ada'),
    series: 1,
    seq: 5,
    epoch: 2,
    state: 'SUCCEEDED',
    toplevel: null,
    observed: NOTHING_OBSERVED,
    hasLog: true,
    at: 1,
    receivedAt: 2,
  };
  const asked: number[] = [];
  const store: FakeStore = {
    hosts: { get: async (host) => await Promise.resolve(host === report.host ? ({ host } as never) : undefined) },
    reports: {
      async list(_host, limit) {
        asked.push(limit);
        return await Promise.resolve([report as unknown as ListedReport]);
      },
      log: async ({ seq }) => await Promise.resolve(seq === 5 ? 'it failed here' : undefined),
    },
    releases: { commitsOf: answer([]) },
  };

  test('come as many as are asked for, with nothing left out of their form', async () => {
    const { ask } = fakeApp({ store });
    expect((await ask('GET', '/api/hosts/ada/reports?limit=3')).body).toMatchObject([
      { seq: 5, toplevel: null, commit: null, detail: null, timings: null },
    ]);
    await ask('GET', '/api/hosts/ada/reports');
    expect(asked).toEqual([3, 50]);
  });

  test.each(['0', '-1', '1001', '1e3', 'all', ''])('limit %j is refused', async (limit) => {
    const { ask } = fakeApp({ store });
    const { status, message } = await ask('GET', `/api/hosts/ada/reports?limit=${limit}`);
    const shown = /^\d+$/.test(limit) ? limit : JSON.stringify(limit);
    expect({ status, message }).toEqual({ status: 400, message: `limit: ${shown} is not a whole number from 1 to 1000` });
  });

  test('of a host that is not there are not an empty list', async () => {
    const { ask } = fakeApp({ store });
    expect(await ask('GET', '/api/hosts/nobody/reports')).toMatchObject({ status: 404, code: 'HOST_UNKNOWN' });
  });

  test('have a log, or say that it is gone', async () => {
    const { ask } = fakeApp({ store });
    expect(await ask('GET', '/api/hosts/ada/reports/1/5/log')).toMatchObject({ status: 200, body: { log: 'it failed here' } });
    expect(await ask('GET', '/api/hosts/ada/reports/1/6/log')).toMatchObject({ status: 404, code: 'LOG_UNKNOWN' });
    expect((await ask('GET', '/api/hosts/ada/reports/1/99999999999999999/log')).status).toBe(400);
  });
});

describe('revisions', () => {
  test('are a page of the newest, or of those before one', async () => {
    const pages: unknown[] = [];
    const { ask } = fakeApp({
      reader: {
        async revisions(page) {
          pages.push(page);
          return await Promise.resolve<RevisionView[]>([revisionView()]);
        },
      },
    });
    for (const query of ['', '?limit=5', '?before=7', '?limit=100&before=0']) expect((await ask('GET', `/api/revisions${query}`)).status).toBe(200);
    expect(pages).toEqual([{ limit: 20 }, { limit: 5 }, { limit: 20, before: 7 }, { limit: 100, before: 0 }]);
    for (const query of ['?limit=101', '?limit=0', '?before=-1', '?before=x']) expect((await ask('GET', `/api/revisions${query}`)).status).toBe(400);
  });

  test.each([
    ['found by seven digits of its commit', [revision()], 200, undefined],
    ['the newest of one commit that came twice', [revision(), revision({ id: 'older', sequence: 2 })], 200, undefined],
    ['not there', [], 404, 'REVISION_UNKNOWN'],
    ['one of two commits', [revision(), revision({ sha: OTHER })], 409, 'REVISION_AMBIGUOUS'],
  ])('one that is %s', async (_what, found, status, code) => {
    const { ask } = fakeApp({
      store: { revisions: { byShaPrefix: answer(found) } },
      reader: { revision: async ({ id }) => await Promise.resolve(id === 'revision' ? revisionView() : undefined) },
    });
    expect(await ask('GET', `/api/revisions/${SHA.slice(0, 7)}`)).toMatchObject({ status, code });
    expect((await ask('GET', `/api/revisions/${SHA.slice(0, 6)}`)).status).toBe(400);
  });
});

/** The app with one newest revision, and what was written. */
function withNewest(newest: Revision | undefined, repository: Partial<Repository> = {}, reopened: RevisionState = 'RECEIVED') {
  const written: string[] = [];
  const note = (what: string) => async () => void (await Promise.resolve(written.push(what)));
  const app = fakeApp({
    store: {
      revisions: {
        newest: answer(newest),
        async reopen() {
          written.push('reopen');
          return await Promise.resolve(reopened === 'RECEIVED' ? { kind: 'advanced', state: reopened } : { kind: 'stale', state: reopened });
        },
      },
      repositories: {
        get: answer({ ...FAKE_REPOSITORY, ...repository }),
        wake: note('wake'),
        async allow(_id, commit, seen) {
          written.push(seen === undefined ? `allow ${commit}` : `allow ${commit} as ${seen}`);
          return await Promise.resolve(seen !== 'anotherSeen');
        },
      },
    },
  });
  return { ...app, written };
}

describe('an evaluation again', () => {
  const evaluate = ['POST', `/api/revisions/${SHA.slice(0, 10)}/evaluate`, { reason: 'the cache is back' }] as const;
  const held = { commit: SHA as CommitSha, reason: '38 of 43 hosts would go', since: 1 };

  test.each([
    ['that ended', revision({ state: 'REJECTED' }), 'reopened', ['reopen', 'wake']],
    ['that waits for another try', revision({ state: 'BUILDING', error: 'the cache is full' }), 'retried', ['wake']],
  ])('of a commit %s wakes the pipeline, and is in the audit log', async (_what, newest, outcome, expected) => {
    const { ask, written, audit } = withNewest(newest);
    expect(await ask(...evaluate)).toMatchObject({ status: 200, body: { sha: SHA, outcome } });
    expect(written).toEqual(expected);
    expect(audit).toMatchObject([{ actor: 'ada', action: 'evaluate', subject: SHA, detail: 'the cache is back' }]);
  });

  test.each([
    ['there is no commit yet', undefined, {}, 'REVISION_NOT_NEWEST'],
    ['a newer one came', revision({ sha: OTHER }), {}, 'REVISION_NOT_NEWEST'],
    ['it waits for an administrator', revision(), { held }, 'REVISION_HELD'],
    ['it is under way', revision({ state: 'EVALUATING' }), {}, 'REVISION_UNDER_WAY'],
  ])('is refused when %s', async (_what, newest, repository, code) => {
    const { ask, written, audit } = withNewest(newest, repository);
    expect(await ask(...evaluate)).toMatchObject({ status: 409, code });
    expect([written, audit]).toEqual([[], []]);
  });

  test('is refused when another one was quicker', async () => {
    const { ask, written, audit } = withNewest(revision({ state: 'REJECTED' }), {}, 'SUPERSEDED');
    expect(await ask(...evaluate)).toMatchObject({ status: 409, code: 'REVISION_ENDED' });
    expect([written, audit]).toEqual([['reopen'], []]);
  });
});

describe('a held commit', () => {
  const held = { commit: SHA as CommitSha, reason: '38 of 43 hosts would go', since: 1 };
  const accept = (commit: string, seen = {}) => ['POST', '/api/repository/accept', { commit, reason: 'they are sold', ...seen }] as const;

  test('is accepted by its whole name', async () => {
    const { ask, written, audit } = withNewest(undefined, { held });
    expect((await ask(...accept(SHA))).status).toBe(204);
    // Which wakes the repository.
    expect(written).toEqual([`allow ${SHA}`]);
    expect(audit).toMatchObject([{ action: 'accept-held', subject: SHA, detail: 'they are sold' }]);
    expect((await ask(...accept(SHA.slice(0, 10)))).status).toBe(400);
  });

  test('is accepted for nothing but the reason that the person saw', async () => {
    const { ask, written, audit } = withNewest(undefined, { held });
    expect(await ask(...accept(SHA, { seen: 'anotherSeen' }))).toMatchObject({ status: 409, code: 'HELD_CHANGED' });
    expect(audit).toEqual([]);
    expect((await ask(...accept(SHA, { seen: 'thisIsSeen' }))).status).toBe(204);
    expect(written).toEqual([`allow ${SHA} as anotherSeen`, `allow ${SHA} as thisIsSeen`]);
  });

  test.each([
    ['nothing is held', {}, SHA],
    ['another one is held', { held }, OTHER],
  ])('is refused when %s', async (_what, repository, commit) => {
    const { ask, written, audit } = withNewest(undefined, repository);
    expect(await ask(...accept(commit))).toMatchObject({ status: 409, code: 'NOTHING_HELD' });
    expect([written, audit]).toEqual([[], []]);
  });
});

test('one token follows few streams at a time, and each that ends makes room', async () => {
  const { app } = fakeApp();
  const follow = async (): Promise<Response> => await app.request('/api/events', { headers: { authorization: `Bearer ${FAKE_TOKEN}` } });
  const open: Response[] = [];
  let refused: Response | undefined;
  while (refused === undefined && open.length < 1_000) {
    const response = await follow();
    if (response.status === 200) open.push(response);
    else refused = response;
  }
  expect(refused?.status).toBe(429);
  expect(refused?.headers.get('retry-after')).toBe('30');
  const first = open[0]?.body?.getReader();
  expect(new TextDecoder().decode((await first?.read())?.value)).toMatch(/^event: snapshot\ndata: \{/);
  await first?.cancel();
  const again = await follow();
  expect(again.status).toBe(200);
  await again.body?.cancel();
  for (const response of open.slice(1)) await response.body?.cancel();
});

test('streams are counted by token, however often it signed in, and one token leaves room for others', async () => {
  const ada = { name: 'ada', role: 'viewer' as const, person: 'ada' };
  const { app } = fakeApp({ store: { tokens: { findSession: async () => await Promise.resolve(ada) } } });
  const follow = async (headers: Record<string, string>): Promise<Response> => await app.request('/api/events', { headers });
  const open: Response[] = [];
  for (let n = 0; n < 60; n += 1) {
    // Her token, and three sessions of it.
    const session = { cookie: `floe_session=${String(n % 4).repeat(43)}` };
    open.push(await follow(n % 4 === 0 ? { authorization: `Bearer ${FAKE_TOKEN}` } : session));
  }
  expect(open.map(({ status }) => status)).toEqual([...Array.from({ length: 20 }, () => 200), ...Array.from({ length: 40 }, () => 429)]);
  const other = await follow({ authorization: `Bearer ${fakeTokenOf('viewer')}` });
  expect(other.status).toBe(200);
  for (const { body } of [...open, other]) await body?.cancel();
});

test('who asks for the headers of a stream alone opens none', async () => {
  const { app } = fakeApp();
  const headers = { authorization: `Bearer ${FAKE_TOKEN}` };
  for (let n = 0; n < 30; n += 1) expect((await app.request('/api/events', { method: 'HEAD', headers })).status).toBe(200);
  const stream = await app.request('/api/events', { headers });
  expect(stream.status).toBe(200);
  await stream.body?.cancel();
});
