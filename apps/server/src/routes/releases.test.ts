import { MAX_HANDOVER_HOSTS } from '@floe/model';
import { FAKE_REPOSITORY, fakeApp, fakeTokenOf } from '../test/fake-app.ts';
import { describe, expect, test } from 'vitest';

const PATH = `/nix/store/${'a'.repeat(32)}-system`;
type Requested = { readonly contentHash: string; readonly systems: ReadonlyMap<string, string>; readonly by: string; readonly person: string };

/** A server with these hosts. */
function serving(known: readonly string[], outcome: 'new' | 'repeat' | 'too-many' = 'new') {
  const requested: Requested[] = [];
  const app = fakeApp({
    store: {
      hosts: {
        list: async (_id, hosts) =>
          await Promise.resolve(known.flatMap((host) => (hosts?.includes(host as never) === true ? [{ host } as never] : []))),
      },
      handovers: {
        async request(handover) {
          requested.push(handover);
          return await Promise.resolve(
            outcome === 'too-many' ? { kind: 'too-many', whose: 'own' } : { kind: 'requested', id: 'an-id', isRepeat: outcome === 'repeat' },
          );
        },
      },
    },
  });
  const submit = async (body: unknown) => await app.ask('POST', '/api/releases', body, { authorization: `Bearer ${fakeTokenOf('submitter')}` });
  return { ...app, requested, submit };
}
const systems = (...hosts: readonly string[]) => ({ systems: hosts.map((host) => ({ host, storePath: PATH })) });

test('what is submitted is stored with whose token it was, and is in the log of decisions once', async () => {
  const { submit, requested, audit } = serving(['ada', 'bob']);
  const { status, body } = await submit(systems('ada', 'bob'));
  expect(status).toBe(200);
  expect(body).toMatchObject({ outcome: 'done', id: 'an-id' });
  expect(requested).toMatchObject([{ repositoryId: FAKE_REPOSITORY.id, by: 'a-submitter', person: 'a-submitter', commit: undefined }]);
  expect([...(requested[0]?.systems ?? [])]).toEqual([
    ['ada', PATH],
    ['bob', PATH],
  ]);
  expect(audit).toMatchObject([{ actor: 'a-submitter', action: 'submit-release', subject: expect.stringMatching(/^[0-9a-f]{24}0{16}$/) as string }]);

  const again = serving(['ada', 'bob'], 'repeat');
  expect(await again.submit(systems('ada', 'bob'))).toMatchObject({ status: 200, body: { outcome: 'repeated' } });
  expect(again.audit).toEqual([]);
});

test('the same in another order is the same; another path, host or commit is not', async () => {
  const { submit, requested } = serving(['ada', 'bob']);
  await submit(systems('ada', 'bob'));
  await submit(systems('bob', 'ada'));
  await submit(systems('ada'));
  await submit({ ...systems('ada', 'bob'), commit: 'c'.repeat(40) });
  const hashes = requested.map(({ contentHash }) => contentHash);
  expect(hashes[0]).toBe(hashes[1]);
  expect(new Set(hashes).size).toBe(3);
});

test('as many hosts as there may be are taken in one body of more than a megabyte', async () => {
  const hosts = Array.from({ length: MAX_HANDOVER_HOSTS }, (_, index) => `workstation-${index}`);
  const { submit, requested } = serving(hosts);
  expect(JSON.stringify(systems(...hosts)).length).toBeGreaterThan(900_000);
  expect((await submit(systems(...hosts))).status).toBe(200);
  expect(requested[0]?.systems.size).toBe(MAX_HANDOVER_HOSTS);
  expect((await submit(systems(...hosts, 'one-more'))).status).toBe(400);
});

describe('is refused, and nothing stored:', () => {
  test.each<[string, unknown, number, string, RegExp]>([
    ['no host', { systems: [] }, 400, 'REQUEST_INVALID', /there is no host in it/],
    ['no store path', { systems: [{ host: 'ada', storePath: '/nix/store/x' }] }, 400, 'REQUEST_INVALID', /systems\.0\.storePath/],
    ['a derivation', { systems: [{ host: 'ada', storePath: `${PATH}.drv` }] }, 400, 'ENTRIES_INVALID', /^ada: .* is a derivation/],
    ['a host twice', systems('ada', 'ada'), 400, 'ENTRIES_INVALID', /^ada is in it twice$/],
    ['a host that nobody knows', systems('ada', 'dan'), 404, 'HOST_UNKNOWN', /^there is no host dan$/],
    ['a part of a commit', { ...systems('ada'), commit: 'abc1234' }, 400, 'REQUEST_INVALID', /commit/],
  ])('%s', async (_what, body, status, code, message) => {
    const { submit, requested } = serving(['ada']);
    expect(await submit(body)).toMatchObject({ status, code, message: expect.stringMatching(message) as string });
    expect(requested).toEqual([]);
  });

  test('more files than may wait', async () => {
    const { submit, audit } = serving(['ada'], 'too-many');
    expect(await submit(systems('ada'))).toMatchObject({
      status: 409,
      code: 'SUBMISSIONS_TOO_MANY',
      message: expect.stringMatching(/^5 files of \S+ wait/) as string,
    });
    expect(audit).toEqual([]);
  });
});
