import { NOTHING_OBSERVED, type Desired, type StorePath } from '@floe/model';
import { HostName } from '@floe/protocol';
import type { Evaluation, FleetHost, HostRow, Revision } from '@floe/store';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { FAKE_REPOSITORY, fakeApp, type FakeApp, type FakeStore } from '../test/fake-app.ts';

const ada = v.parse(HostName, 'ada');
const toplevel = `/nix/store/${'a'.repeat(32)}-system` as StorePath;
const release = { id: 'release', host: ada, sequence: 3, toplevel };
const quarantined: Desired = { kind: 'quarantined', release };

function row(changes: Partial<HostRow> = {}): HostRow {
  return {
    host: ada,
    repositoryId: FAKE_REPOSITORY.id,
    publicKey: 'key',
    epoch: 3,
    observed: NOTHING_OBSERVED,
    state: 'SUCCEEDED',
    isConnected: true,
    acceptedSequence: 3,
    reportSeq: 1,
    ...changes,
  };
}

/** The app with one host, and what was written of it. */
function withHost(
  host: HostRow | undefined,
  desired: Desired = quarantined,
  hosts: FakeStore['hosts'] = {},
): FakeApp & { readonly written: string[] } {
  const written: string[] = [];
  const note = async <Result>(what: string, result: Result): Promise<Result> => {
    written.push(what);
    return await Promise.resolve(result);
  };
  const seen = host === undefined ? [] : [{ row: host, desired } as FleetHost];
  const app = fakeApp({
    store: {
      hosts: {
        get: async () => await Promise.resolve(host),
        fleet: async () => await Promise.resolve({ rollout: undefined, hosts: seen }),
        retry: async (_host, what) => await note(`retry ${what}`, 4),
        clearCloned: async () => await note('clearCloned', undefined),
        forget: async () => await note('forget', true),
        ...hosts,
      },
      revisions: {
        newest: async () => await Promise.resolve(undefined),
        newestPublished: async () => await Promise.resolve(undefined),
        evaluations: async () => await Promise.resolve([]),
      },
      tokens: { voidEnrolmentTokens: async () => await note('voidEnrolmentTokens', undefined) },
    },
  });
  return { ...app, written };
}

const RETRY = ['DELETE', '/api/hosts/ada/quarantine'] as const;
const RESUME = ['DELETE', '/api/hosts/ada/override'] as const;
const FORGET = ['DELETE', '/api/hosts/ada'] as const;

describe.each([
  ['retry', RETRY],
  ['resume', RESUME],
  ['forget', FORGET],
])('%s', (_what, [method, path]) => {
  test('of a host that is not there says so', async () => {
    const { ask, written, audit } = withHost(undefined);
    expect(await ask(method, path, { reason: 'why' })).toMatchObject({ status: 404, code: 'HOST_UNKNOWN' });
    expect([written, audit]).toEqual([[], []]);
  });

  test.each([[{}], [{ reason: '' }], [{ reason: '   ' }], [{ reason: 7 }], [{ reason: 'why', host: 'bob' }], [undefined]])(
    'without a reason, as %j, is refused',
    async (body) => {
      const { ask, written } = withHost(row());
      expect((await ask(method, path, body)).status).toBe(400);
      expect(written).toEqual([]);
    },
  );
});

describe('retry', () => {
  test('lets go of what the host rolled back from, says who and why, and has the host looked at', async () => {
    const { ask, written, audit, changed } = withHost(row({ state: 'ROLLED_BACK', stateToplevel: toplevel }));
    expect((await ask(...RETRY, { reason: ' the cable was loose ' })).status).toBe(204);
    expect(written).toEqual([`retry ${toplevel}`]);
    expect(audit).toMatchObject([{ actor: 'ada', action: 'retry', subject: 'ada', detail: 'the cable was loose' }]);
    expect(changed).toEqual(['ada']);
  });

  test('ends a clone’s quarantine, also when there is nothing else to try again', async () => {
    const { ask, written, audit } = withHost(row({ clonedAt: 5 }), { kind: 'nothing' });
    expect((await ask(...RETRY, { reason: 'the copy is gone' })).status).toBe(204);
    expect(written).toEqual(['clearCloned']);
    expect(audit).toHaveLength(1);
  });

  test.each([
    ['revoked', row({ revokedAt: 5, clonedAt: 5 }), quarantined, 'HOST_REVOKED'],
    ['not enrolled', row({ publicKey: undefined }), quarantined, 'HOST_NOT_ENROLLED'],
    ['without a release', row(), { kind: 'nothing' } as const, 'NO_RELEASE'],
    [
      'told already',
      row({ retryEpoch: 3, state: 'ROLLED_BACK', stateToplevel: toplevel }),
      { kind: 'release', release, because: 'rollout' } as const,
      'ALREADY_TOLD',
    ],
    ['in sync', row({ stateToplevel: toplevel }), { kind: 'release', release, because: 'rollout' } as const, 'NOTHING_TO_RETRY'],
  ])('of a host that is %s is refused, and nobody is told', async (_what, host, desired, code) => {
    const { ask, written, audit, changed } = withHost(host, desired);
    expect(await ask(...RETRY, { reason: 'why' })).toMatchObject({ status: 409, code });
    expect([written, audit, changed]).toEqual([[], [], []]);
  });
});

describe('resume', () => {
  test('brings a host back that its user keeps on another system', async () => {
    const desired = { kind: 'release', release, because: 'rollout' } as const;
    const kept = row({ state: 'IDLE', stateToplevel: toplevel, detail: { code: 'LOCAL_OVERRIDE', message: 'its user went back' } });
    const { ask, written, audit } = withHost(kept, desired);
    expect((await ask(...RESUME, { reason: 'the test is over' })).status).toBe(204);
    expect(written).toEqual([`retry ${toplevel}`]);
    expect(audit).toMatchObject([{ action: 'resume' }]);
  });

  test('of a host that nobody keeps is refused', async () => {
    const observed = { current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } };
    const { ask, written } = withHost(row({ stateToplevel: toplevel, observed }), { kind: 'release', release, because: 'rollout' });
    expect(await ask(...RESUME, { reason: 'why' })).toMatchObject({ status: 409 });
    expect(written).toEqual([]);
  });
});

describe('forget', () => {
  const revision = (state: Revision['state']): Revision => ({ id: 'revision', state }) as Revision;

  test('takes the tokens first, so that nobody enrols in between, then the host', async () => {
    const { ask, written, audit } = withHost(row({ publicKey: undefined }));
    expect((await ask(...FORGET, { reason: 'stolen' })).status).toBe(204);
    expect(written).toEqual(['voidEnrolmentTokens', 'forget']);
    expect(audit).toMatchObject([{ action: 'forget', detail: 'stolen' }]);
  });

  test('of a host that is enrolled in this very moment is refused', async () => {
    const { ask, audit } = withHost(row({ publicKey: undefined }), quarantined, { forget: async () => await Promise.resolve(false) });
    expect(await ask(...FORGET, { reason: 'stolen' })).toMatchObject({ status: 409, code: 'HOST_ENROLLED' });
    expect(audit).toEqual([]);
  });

  test.each([
    ['is in the newest commit', [{ host: 'ada', outcome: 'CHANGED' }], 'PUBLISHED', 409],
    ['left with the newest commit', [{ host: 'ada', outcome: 'REMOVED' }], 'PUBLISHED', 204],
    ['is not among the hosts of the newest commit', [{ host: 'bob', outcome: 'CHANGED' }], 'PUBLISHED', 204],
    ['may yet be in the newest commit, and is in the one before', [], 'EVALUATING', 409],
  ])('of a host that %s: %#', async (_what, evaluations, state, status) => {
    const before = [{ host: 'ada', outcome: 'CHANGED' }];
    const { ask } = fakeApp({
      store: {
        hosts: { get: async () => await Promise.resolve(row({ publicKey: undefined })), forget: async () => await Promise.resolve(true) },
        revisions: {
          newest: async () => await Promise.resolve(revision(state as Revision['state'])),
          newestPublished: async () => await Promise.resolve({ ...revision('PUBLISHED'), id: 'before' }),
          evaluations: async (id) => await Promise.resolve((id === 'before' ? before : evaluations) as unknown as Evaluation[]),
        },
        tokens: { voidEnrolmentTokens: async () => await Promise.resolve() },
      },
    });
    expect((await ask(...FORGET, { reason: 'gone' })).status).toBe(status);
  });
});
