import { DEFAULT_POLICY, NO_ORDERS, NOTHING_OBSERVED, type HostName, type StorePath } from '@floe/model';
import { silentLogger, systemClock } from '@floe/runtime';
import type { CurrentRollout, FleetHost, HostRow, SlotFacts } from '@floe/store';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Admission, type AdmissionDeps } from './admission.ts';

const toplevel = `/nix/store/${'a'.repeat(32)}-system` as StorePath;
const LIMIT = 1;
const ROLLOUT: CurrentRollout = {
  id: 'rollout',
  revisionId: 'revision',
  startedAt: 1,
  version: 1,
  state: 'ROLLING',
  course: { state: 'ROLLING', ring: 0, since: 1, ringSince: 1, pause: undefined, provedRing: undefined },
  policy: { ...DEFAULT_POLICY, budgets: [{ label: 'dns', atMost: LIMIT }] },
  orders: NO_ORDERS,
  weaker: [],
  rings: undefined,
};

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
        const changing = gone().filter((row) => row.host !== 'ada').length;
        most = Math.max(most, changing);
        expect(changing).toBeLessThanOrEqual(LIMIT);
      }
    }),
    { numRuns: 300 },
  );
  expect(most).toBe(LIMIT);
});
