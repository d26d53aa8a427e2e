import { NOTHING_OBSERVED, type ReleaseRef, type StorePath } from '@floe/model';
import { HostName } from '@floe/protocol';
import type { FleetHost, HostRow, Revision } from '@floe/store';
import * as v from 'valibot';
import { describe, expect, test } from 'vitest';
import { FAKE_REPOSITORY, fakeApp } from '../test/fake-app.ts';

// What holds for every order about a host, also for those that are still to come: they are read from the app.

const ada = v.parse(HostName, 'ada');
const toplevel = `/nix/store/${'a'.repeat(32)}-system` as StorePath;
const release: ReleaseRef = { id: 'release', host: ada, sequence: 3, toplevel };

/** They end an order, or decide who is in the fleet. */
const NO_ORDERS = new Set([
  'DELETE /api/hosts/:host',
  'DELETE /api/hosts/:host/pin',
  'DELETE /api/hosts/:host/ordered-quarantine',
  'DELETE /api/hosts/:host/trial',
  'DELETE /api/hosts/:host/enrolment',
  'POST /api/hosts/:host/enrolment-tokens',
]);
const ORDERS = [...new Set(fakeApp().app.routes.map(({ method, path }) => `${method} ${path}`))].filter(
  (route) => /^(?:POST|PUT|DELETE) \/api\/hosts\/:host/.test(route) && !NO_ORDERS.has(route),
);

const ENROLMENTS = {
  enrolled: { publicKey: 'key' },
  none: {},
  revoked: { publicKey: 'key', revokedAt: 2 },
  cloned: { publicKey: 'key', clonedAt: 2 },
} as const satisfies Readonly<Record<string, Partial<HostRow>>>;
const REFUSED = {
  none: { code: 'HOST_NOT_ENROLLED', message: 'no agent is enrolled for ada: run: floe enrol ada' },
  revoked: { code: 'HOST_REVOKED', message: 'the enrolment of ada was revoked: to bring it back, run: floe enrol ada' },
  cloned: { code: 'HOST_CLONED', message: expect.stringMatching(/both are refused: .*floe retry ada --reason/) as string },
};

async function order(route: string, enrolment: keyof typeof ENROLMENTS) {
  const row = {
    host: ada,
    repositoryId: FAKE_REPOSITORY.id,
    observed: NOTHING_OBSERVED,
    state: 'IDLE',
    epoch: 1,
    acceptedSequence: 3,
    ...ENROLMENTS[enrolment],
  } as HostRow;
  const situation = { directed: release, quarantined: new Set() } as unknown as FleetHost['situation'];
  const seen = { row, situation, desired: { kind: 'release', release, because: 'stable' } } as FleetHost;
  const { ask, calls, audit } = fakeApp({
    store: {
      hosts: {
        get: async () => await Promise.resolve(row),
        fleet: async () => await Promise.resolve({ rollout: undefined, hosts: [seen] }),
        clearCloned: async () => {
          await Promise.resolve();
        },
      },
      revisions: {
        evaluations: async () => await Promise.resolve([]),
        byShaPrefix: async () => await Promise.resolve([{ id: 'revision', sha: 'c'.repeat(40) } as Revision]),
      },
    },
  });
  const [method = '', path = ''] = route.replace(':host', 'ada').split(' ');
  // Some name a commit, a store path or another name, and the others refuse to hear of one.
  let answer = await ask(method, path, { reason: 'why' });
  for (const more of [{ commit: 'ccccccc' }, { storePath: `/nix/store/${'a'.repeat(32)}-system` }, { to: 'nova' }])
    if (answer.code === 'REQUEST_INVALID') answer = await ask(method, path, { reason: 'why', ...more });
  return { answer, audit, written: calls.filter((call) => !/^(?:hosts\.(?:get|fleet|renamed)|tokens\.findApiToken)$/.test(call)) };
}

test('there are orders, and each exception is a route', () => {
  expect(ORDERS.length).toBeGreaterThanOrEqual(6);
  const routes = new Set(fakeApp().app.routes.map(({ method, path }) => `${method} ${path}`));
  expect([...NO_ORDERS].filter((route) => !routes.has(route))).toEqual([]);
});

describe.each(ORDERS)('%s', (route) => {
  test.each(['none', 'revoked', 'cloned'] as const)('of a host whose enrolment is: %s, is refused with what to do', async (enrolment) => {
    // It is how a host whose key two machines used is admitted again.
    if (enrolment === 'cloned' && route.endsWith('/quarantine') && route.startsWith('DELETE')) {
      expect((await order(route, enrolment)).written).toContain('hosts.clearCloned');
      return;
    }
    const { answer, audit, written } = await order(route, enrolment);
    expect(answer).toMatchObject({ status: 409, ...REFUSED[enrolment] });
    expect([written, audit]).toEqual([[], []]);
  });

  test('of an enrolled host is not refused for that', async () => {
    const { answer } = await order(route, 'enrolled');
    expect(Object.values(REFUSED).map(({ code }) => code)).not.toContain(answer.code);
  });
});
