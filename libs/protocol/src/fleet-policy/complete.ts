import {
  DEFAULT_MAX_IN_FLIGHT,
  DEFAULT_POLICY,
  DEFAULT_PROBE_EVERY_MS,
  defaultGates,
  parseDuration,
  type Approvals,
  type RingPolicy,
  type RingWindow,
  type RolloutPolicy,
} from '@floe/model';
import type { FleetPolicy, Percent, Ring, Window } from './schema.ts';

/** The policy with every default filled in. */
export function complete(written: FleetPolicy): RolloutPolicy {
  const { rings, labels, budgets, checks, shrink, presence, downloads } = written;
  return {
    rings: rings?.map((ring, index) => ringPolicy(ring, index, rings.length)) ?? DEFAULT_POLICY.rings,
    labels: Object.fromEntries(Object.entries(labels ?? {}).map(([host, some]) => [host, [...new Set(some)]])),
    maxInFlight: orDefault(written.maxInFlight, rings === undefined ? undefined : DEFAULT_MAX_IN_FLIGHT),
    budgets: Object.entries(budgets ?? {}).map(([label, atMost]) => ({ label, atMost })),
    checks: checks ?? [],
    steppingStones: written.steppingStones ?? [],
    shrink: { percent: percentOf(shrink?.percent) ?? DEFAULT_POLICY.shrink.percent, hosts: shrink?.hosts ?? DEFAULT_POLICY.shrink.hosts },
    presence: {
      staleMs: msOf(presence?.stale) ?? DEFAULT_POLICY.presence.staleMs,
      lostMs: msOf(presence?.lost) ?? DEFAULT_POLICY.presence.lostMs,
    },
    notify: Object.fromEntries(Object.entries(written.notify ?? {}).map(([kind, names]) => [kind, [...new Set(names)]])),
    downloads: { ahead: downloads?.ahead ?? DEFAULT_POLICY.downloads.ahead, spreadMs: msOf(downloads?.spread) ?? DEFAULT_POLICY.downloads.spreadMs },
  };
}

function ringPolicy(ring: Ring, index: number, ringCount: number): RingPolicy {
  const gates = defaultGates(index, ringCount);
  return {
    name: ring.name,
    members: { hosts: ring.hosts ?? [], labels: ring.labels ?? [], share: percentOf(ring.share ?? undefined) },
    ...gatesWritten(ring, gates),
    deadlineMs: ring.deadline === null ? undefined : (msOf(ring.deadline) ?? gates.deadlineMs),
    windows: ring.windows?.flatMap(windowOf) ?? [],
    probes: (ring.probes ?? []).map(({ name, every }) => ({ name, everyMs: msOf(every) ?? DEFAULT_PROBE_EVERY_MS })),
  };
}

type Gates = Omit<RingPolicy, 'name' | 'members' | 'deadlineMs' | 'windows' | 'probes'>;

/** The gates that somebody wrote, and `gates` where they wrote none. */
export function gatesWritten(
  ring: Pick<Ring, 'success' | 'errors' | 'minVerified' | 'soak' | 'maxInFlight' | 'approvals' | 'pauseAfter'>,
  gates: Pick<Gates, 'successPercent' | 'errors' | 'minVerified' | 'soakMs'>,
): Gates {
  return {
    successPercent: percentOf(ring.success) ?? gates.successPercent,
    errors: errorGate(ring.errors, gates.errors),
    minVerified: ring.minVerified ?? gates.minVerified,
    soakMs: msOf(ring.soak) ?? gates.soakMs,
    maxInFlight: ring.maxInFlight ?? undefined,
    approvals: approvalsOf(ring.approvals),
    pauseAfter: ring.pauseAfter ?? false,
  };
}

/** Null is a person's word that there is no limit. */
function orDefault(written: number | null | undefined, instead: number | undefined): number | undefined {
  return written === null ? undefined : (written ?? instead);
}

function errorGate(written: Ring['errors'], gate: RingPolicy['errors']): RingPolicy['errors'] {
  const percent = percentOf(typeof written === 'object' ? written.percent : written) ?? gate.percent;
  const minStarted = typeof written === 'object' ? written.minStarted : undefined;
  // "No failure" is meant from the first host on, in whichever ring.
  return { percent, minStarted: minStarted ?? (percent === 0 ? 1 : gate.minStarted) };
}

function windowOf({ allow, deny, duration, timeZone }: Window): RingWindow[] {
  const durationMs = msOf(duration) ?? 0;
  const kinds = [
    { kind: 'allow', cron: allow },
    { kind: 'deny', cron: deny },
  ] as const;
  return kinds.flatMap(({ kind, cron }) => (cron === undefined ? [] : [{ kind, cron: cron.trim(), durationMs, timeZone }]));
}

function approvalsOf(written: Ring['approvals']): Approvals | undefined {
  if (written === undefined || written === null) return undefined;
  return { count: written.count ?? 1, role: written.role ?? 'approver', notAuthor: written.notAuthor ?? false };
}

export function percentOf(written: Percent | undefined): number | undefined {
  return typeof written === 'string' ? Number.parseFloat(written) : written;
}

function msOf(written: string | undefined): number | undefined {
  return written === undefined ? undefined : parseDuration(written);
}
