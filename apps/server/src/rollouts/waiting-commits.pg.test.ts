import type { CommitSha, HostName } from '@floe/model';
import type { FleetView, RevisionView, WhyView } from '@floe/protocol';
import { utcTime } from '@floe/views';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, type TestServer } from '../test/test-server.ts';

// SPEC R7: a newer commit waits for one that is finished first, and everybody can see for which, and until when.

const MINUTE = 60_000;
const [OLDER, NEWER] = ['1'.repeat(40) as CommitSha, '2'.repeat(40) as CommitSha];
const ADA = 'ada' as HostName;

let server: TestServer;
beforeAll(async () => {
  server = await startTestServer({
    runPipeline: async (signal) => await new Promise((resolve) => signal.addEventListener('abort', () => resolve())),
  });
  await server.context.store.hosts.ensure(server.repository.id, [ADA]);
});
afterAll(async () => await server[Symbol.asyncDispose]());

const get = async <Answer>(path: string): Promise<Answer> => (await (await server.request(path)).json()) as Answer;

test('a commit that waits for an older one says so on its page, in floe why and to programs, until the older one is over', async () => {
  const { revisions } = server.context.store;
  const receive = async (sha: CommitSha, at: number) =>
    await revisions.receive(server.repository.id, {
      sha,
      subject: 'Change',
      authorName: 'Ada',
      authorEmail: 'ada@example.org',
      committedAt: 1,
      receivedAt: at,
      fetchedAt: at,
    });
  const now = Date.now();
  const older = await receive(OLDER, now - 5 * MINUTE);
  for (const event of ['accepted', 'verified'] as const) await revisions.advance(older.id, event, now - 5 * MINUTE);
  expect((await get<RevisionView>(`/api/revisions/${OLDER}`)).waits).toBeNull();
  await receive(NEWER, now);
  const until = now + 15 * MINUTE;
  expect(await get<RevisionView>(`/api/revisions/${NEWER}`)).toMatchObject({ state: 'RECEIVED', waits: { after: OLDER, until } });
  expect((await get<FleetView>('/api/fleet')).revision).toMatchObject({ sha: NEWER, waits: { after: OLDER, until } });
  expect((await get<RevisionView>(`/api/revisions/${OLDER}`)).waits).toBeNull();
  expect(await get<WhyView>(`/api/hosts/${ADA}/why`)).toContainEqual({
    rule: 'unfinished',
    text: `the newest commit waits for ${OLDER.slice(0, 10)} to be finished, until ${utcTime(until)} at the latest`,
    end: `by itself, or: floe rollout hotfix ${NEWER.slice(0, 10)} --reason "…"`,
  });
  await revisions.endOlder(server.repository.id, NEWER, now);
  expect((await get<RevisionView>(`/api/revisions/${NEWER}`)).waits).toBeNull();
  expect(await get<WhyView>(`/api/hosts/${ADA}/why`)).toContainEqual(
    expect.objectContaining({ rule: 'unfinished', end: expect.stringMatching(/^nothing to do/) as string }),
  );
});
