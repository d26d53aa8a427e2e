import { beginRollout, DEFAULT_POLICY, NOTHING_OBSERVED, type HostName, type StorePath } from '@floe/model';
import { silentLogger, systemClock } from '@floe/runtime';
import type { FleetHost, HostRow, SlotFacts } from '@floe/store';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { rolloutAt } from '../test/rollouts.ts';
import { Admission, type AdmissionDeps } from './admission.ts';

const toplevel = `/nix/store/${'a'.repeat(32)}-system` as StorePath;
const LIMIT = 1;
const ROLLOUT = rolloutAt({ ...beginRollout(1), state: 'ROLLING' }, { ...DEFAULT_POLICY, budgets: [{ label: 'dns', atMost: LIMIT }] });

/** A host that was told the rollout's release, and is ready. */
function readyHost(host: HostName): FleetHost {
  const release = { id: `of ${host}`, host, sequence: 2, toplevel };
  const row: HostRow = {
    host,
    repositoryId: 'repository',
    publicKey: 'key',
    enrolledAt: 1,
    desired: { releaseId: release.id, toplevel, sequence: 2, epoch: 3, since: 1 },
    epoch: 3,
    observed: NOTHING_OBSERVED,
    state: 'STAGED',
    stateToplevel: toplevel,
    stateSince: 5,
    isConnected: true,
    lastSeenAt: 1,
    acceptedSequence: 0,
    reportSeq: 0,
  };
  const situation = { pin: undefined, hold: undefined, isRingPromoted: true, rollout: release, stable: undefined, directed: release };
  return {
    row,
    situation: { ...situation, quarantined: new Set() },
    desired: { kind: 'release', release, because: 'rollout' },
    quarantines: [],
    desiredCommit: undefined,
    acknowledged: new Set(),
  };
}

test('no more hosts of a label change at once than its limit allows, also those that are evaluated while others change', async () => {
  const names = ['ada', 'bob', 'cyd', 'dan'] as HostName[];
  let most = 0;
  const steps = fc.array(fc.record({ does: fc.constantFrom('evaluate', 'ask', 'ask'), host: fc.nat(3), server: fc.nat(1) }), { maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(3), { maxLength: 3 }), steps, async (known, taken) => {
      const evaluated = new Set(known);
      const hosts = names.map(readyHost);
      const labels = (): SlotFacts['labels'] =>
        new Map(names.flatMap((host, index) => (evaluated.has(index) ? [[host, index === 0 ? [] : ['dns']] as const] : [])));
      const gone = (): HostRow[] => hosts.map(({ row }) => row).filter(({ went }) => went !== undefined);
      const store = {
        hosts: {
          async takeSlot(_repositoryId: string, host: HostName, judge: (facts: SlotFacts) => HostRow['went']) {
            await Promise.resolve();
            const index = names.indexOf(host);
            const asking = hosts[index];
            if (asking === undefined) return undefined;
            const went = judge({ rollout: ROLLOUT, asking, gone: gone(), labels: labels() });
            if (went !== undefined) hosts[index] = { ...asking, row: { ...asking.row, went } };
            return went;
          },
        },
      } as unknown as AdmissionDeps['store'];
      const servers = [0, 1].map(() => new Admission({ store, repositoryId: 'repository', clock: systemClock, logger: silentLogger }));
      for (const { does, host, server } of taken) {
        if (does === 'evaluate') evaluated.add(host);
        else if (evaluated.has(host)) await servers[server]?.mayActivate(names[host] as HostName, 3);
        const underWay = gone().filter((row) => row.host !== 'ada').length;
        most = Math.max(most, underWay);
        expect(underWay).toBeLessThanOrEqual(LIMIT);
      }
    }),
    { numRuns: 300 },
  );
  expect(most).toBe(LIMIT);
});

/** Whether `ada` gets its `go`, beside others that have theirs. */
async function mayGo(
  changes: Partial<FleetHost> & { readonly host?: Partial<HostRow> } = {},
  facts: Partial<SlotFacts> = {},
  epoch = 3,
): Promise<boolean> {
  const { host = {}, ...rest } = changes;
  const ready = readyHost('ada' as HostName);
  const asking = { ...ready, ...rest, row: { ...ready.row, ...host } };
  const store = {
    hosts: {
      takeSlot: async (_repositoryId: string, _host: HostName, judge: (of: SlotFacts) => HostRow['went']) =>
        await Promise.resolve(judge({ rollout: { ...ROLLOUT, policy: DEFAULT_POLICY }, asking, gone: [], labels: new Map(), ...facts })),
    },
  } as unknown as AdmissionDeps['store'];
  return await new Admission({ store, repositoryId: 'repository', clock: systemClock, logger: silentLogger }).mayActivate(asking.row.host, epoch);
}

/** A host between its `go` and the verdict. */
function changing(host: string): HostRow {
  return { ...readyHost(host as HostName).row, state: 'ACTIVATING', went: { toplevel, until: systemClock.now() + 60_000 } };
}

test('a host gets its go for its newest directive, and for what it is to have at this moment', async () => {
  expect(await mayGo()).toBe(true);
  expect(await mayGo({}, {}, 2)).toBe(false);
  expect(await mayGo({}, { asking: undefined })).toBe(false);
  for (const host of [{ revokedAt: 5 }, { clonedAt: 5 }]) expect(await mayGo({ host }), JSON.stringify(host)).toBe(false);
  // Decided meanwhile, and not told yet.
  const { desired } = readyHost('ada' as HostName);
  if (desired.kind !== 'release') throw new Error('it has a release');
  expect(await mayGo({ desired: { ...desired, release: { ...desired.release, id: 'another one' } } })).toBe(false);
  for (const kind of ['nothing', 'quarantined'] as const)
    expect(await mayGo({ desired: { kind, release: desired.release } as FleetHost['desired'] })).toBe(false);
});

test('its own place does not stand in its way, nor do places of other rings, or of a host whose user says later (O17)', async () => {
  const [all] = DEFAULT_POLICY.rings;
  if (all === undefined) throw new Error('the default policy has a ring');
  const rings = ['canary', 'all'].map((name) => ({ ...all, name, maxInFlight: 1 }));
  const two = (of: Readonly<Record<string, number>>): Partial<SlotFacts> => ({
    rollout: {
      ...ROLLOUT,
      course: { ...ROLLOUT.course, ring: 1, provedRing: 0 },
      policy: { ...DEFAULT_POLICY, rings },
      rings: new Map(Object.entries(of) as [HostName, number][]),
    },
  });
  expect(await mayGo({}, { ...two({ ada: 1, bob: 1 }), gone: [changing('bob')] })).toBe(false);
  expect(await mayGo({}, { ...two({ ada: 1, bob: 0 }), gone: [changing('bob')] })).toBe(true);
  expect(await mayGo({}, { ...two({ ada: 1 }), gone: [changing('ada')] })).toBe(true);
  for (const state of ['DEFERRED', 'BOOT_STAGED'] as const)
    expect(await mayGo({}, { ...two({ ada: 1, bob: 1 }), gone: [{ ...changing('bob'), state }] }), state).toBe(true);
  // Past its time it holds none.
  expect(await mayGo({}, { ...two({ ada: 1, bob: 1 }), gone: [{ ...changing('bob'), went: { toplevel, until: systemClock.now() - 1 } }] })).toBe(
    true,
  );
});
