import { FloeError, isFloeError } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newHost, newRepository, path, presence, publishNext, commit, report, WORLDS, type World } from './test/test-store.ts';
import type { Store } from './store.ts';

/** A number that no bigint takes, and a text that names itself: what is refused is never told with the refusal. */
const MARKER = 'SECRET-MARKER';
const TOO_LARGE = 1e300;

/** Every method that takes a value which its database refuses. */
function refusedCalls(store: Store, host: ReturnType<typeof newHost>, repositoryId: string): Record<string, () => Promise<unknown>> {
  const about = { subject: MARKER, authorName: MARKER, authorEmail: MARKER };
  return {
    'repositories.ensure': async () => await store.repositories.ensure({ url: MARKER, branch: MARKER, now: TOO_LARGE }),
    'repositories.claim': async () => await store.repositories.claim(repositoryId, MARKER, TOO_LARGE),
    'repositories.recordFetch': async () =>
      await store.repositories.recordFetch(repositoryId, { now: TOO_LARGE, problem: { code: MARKER, message: MARKER } }),
    'repositories.hold': async () => await store.repositories.hold(repositoryId, { commit: commit('9'), reason: MARKER }, TOO_LARGE),
    'deliveries.record': async () =>
      await store.deliveries.record({ id: MARKER, forge: 'github', event: MARKER, ref: MARKER, outcome: 'accepted', receivedAt: Number.NaN }),
    'deliveries.record of nobody': async () =>
      await store.deliveries.record({ id: MARKER, forge: 'github', event: 'push', repositoryId: MARKER, outcome: 'accepted', receivedAt: 1 }),
    'revisions.receive': async () =>
      await store.revisions.receive(repositoryId, { sha: commit('9'), ...about, committedAt: 1, receivedAt: Number.NaN, fetchedAt: 1 }),
    'releases.saveFreshness': async () => await store.releases.saveFreshness(repositoryId, MARKER, TOO_LARGE, 1),
    'hosts.connect': async () => await store.hosts.connect(host, presence({ agentVersion: MARKER, reportSeq: TOO_LARGE })),
    'hosts.enrol': async () => await store.hosts.enrol({ host, repositoryId, machineId: MARKER, publicKey: MARKER, at: TOO_LARGE }),
    'hosts.pin': async () => await store.hosts.pin({ host, kind: 'pin', releaseId: MARKER, reason: MARKER, by: MARKER, at: 1 }),
    'hosts.desire': async () => await store.hosts.desire([{ id: MARKER, host, sequence: 1, toplevel: path(MARKER) }], 1),
    'hosts.saveDirectives': async () => await store.hosts.saveDirectives([{ host, epoch: TOO_LARGE, releaseId: MARKER, mode: MARKER, issuedAt: 1 }]),
    'reports.store': async () =>
      await store.reports.store([report(host, 1, { at: TOO_LARGE, log: MARKER, detail: { code: MARKER, message: MARKER } })]),
    'audit.append': async () => await store.audit.append({ at: TOO_LARGE, actor: MARKER, action: MARKER, subject: MARKER, detail: MARKER }),
    'audit.countRefusals': async () =>
      await store.audit.countRefusals({ at: 1, actor: MARKER, action: MARKER, subject: MARKER, detail: MARKER }, TOO_LARGE),
    'tokens.createApiToken': async () => await store.tokens.createApiToken({ name: MARKER, role: 'viewer', token: MARKER, at: TOO_LARGE }),
    'outbox.putAll': async () =>
      await store.outbox.putAll([
        {
          repositoryId: MARKER,
          sha: commit('1'),
          context: MARKER,
          state: 'pending',
          description: MARKER,
          targetUrl: MARKER,
          now: 1,
        },
      ]),
  };
}

/** All that a log line, an answer or a person could be shown of an error. */
function allOf(error: unknown): string {
  const parts: unknown[] = [];
  for (let current = error; current instanceof Error; current = current.cause) {
    parts.push(
      current.message,
      current.stack,
      Object.getOwnPropertyNames(current).map((name) => Reflect.get(current, name)),
    );
  }
  return JSON.stringify(parts);
}

describe.each(WORLDS)('what $name does not take', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  test('is told by its place, and never with a parameter or a word of SQL', async () => {
    const { store } = world;
    const repository = await newRepository(store);
    const host = newHost();
    await publishNext(store, repository, commit('1'), [host]);
    for (const [method, call] of Object.entries(refusedCalls(store, host, repository.id))) {
      const error: unknown = await call().then(
        () => new Error(`${method} was not refused`),
        (refusal: unknown) => refusal,
      );
      expect(isFloeError(error, 'STORE_DATA_REFUSED'), `${method}: ${String(error)}`).toBe(true);
      expect(error).toMatchObject({ retryable: false, data: { code: expect.stringMatching(/^2[23]/), method: method.split(/[. ]/)[1] } });
      expect(allOf(error), method).not.toMatch(/SECRET-MARKER|1e\+?300|insert into|update "|select /i);
    }
    // None of them left a transaction open or a connection broken.
    await store.ping();
    expect(await store.hosts.get(host)).toMatchObject({ host, reportSeq: 0 });
  });

  test('of a row that cannot be read says which column', async () => {
    const { store, query } = world;
    if (query === undefined) return;
    const repository = await newRepository(store);
    const host = newHost();
    await store.hosts.ensure(repository.id, [host]);
    await query(`update hosts set report_seq = 9223372036854775806 where host = '${host}'`);
    const error: unknown = await store.reports.store([report(host, 1)]).catch((refusal: unknown) => refusal);
    expect(error).toBeInstanceOf(FloeError);
    expect(error).toMatchObject({ code: 'STORE_ROW_UNREADABLE', message: expect.stringContaining('report_seq') });
  });
});
