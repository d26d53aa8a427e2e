import {
  admit,
  DEFAULT_POLICY,
  isStopped,
  isPastGo,
  isSuperseded,
  labelsOf,
  mayBeginBy,
  NO_ORDERS,
  progressOf,
  VERDICT_MS,
  ringIn,
  wentAgain,
  type AdmitAnswer,
  type Asking,
  type HostName,
  type InFlight,
  type Went,
} from '@floe/model';
import type { Clock, Logger } from '@floe/runtime';
import { lastWordOf, type CurrentRollout, type FleetHost, type HostRow, type SlotFacts, type StorePart } from '@floe/store';
import { hostWindowState } from './windows.ts';

/** How long the agent may take to begin after its `go`; its watchdog has acted before {@link VERDICT_MS} are over. */
export const GO_LEASE_MS = 30 * 60_000;

export interface AdmissionDeps {
  readonly store: StorePart<{ hosts: 'takeSlot' }>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly repositoryId: string;
}

/**
 * True when the agent that is staged may activate: its directive is still the newest, and ring, window, limits and budgets allow it.
 * Then it has a place until its verdict.
 */
export class Admission {
  readonly #deps: AdmissionDeps;

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
  }

  async mayActivate(host: HostName, epoch: number): Promise<boolean> {
    const { store, clock, logger, repositoryId } = this.#deps;
    let waits: AdmitAnswer | undefined;
    const went = await store.hosts.takeSlot(repositoryId, host, (facts) => {
      const answer = judge(facts, epoch, clock.now());
      const { desired } = facts.asking ?? {};
      const toplevel = desired?.kind === 'release' ? desired.release.toplevel : undefined;
      if (answer?.kind === 'go' && toplevel !== undefined) return wentAgain(facts.asking?.row.went, { toplevel, epoch }, clock.now(), VERDICT_MS);
      waits = answer;
      return undefined;
    });
    if (waits !== undefined) logger.debug('a host that is ready waits', { host, epoch, ...waits });
    return went !== undefined;
  }
}

/** What `judge` would answer if the host asked with its newest directive now. */
export function admittedNow(facts: SlotFacts, now: number): AdmitAnswer | undefined {
  const epoch = facts.asking === undefined ? undefined : epochOf(facts.asking);
  return epoch === undefined ? undefined : judge(facts, epoch, now);
}

/** What a host without a `go` waits for. */
type Held = Extract<AdmitAnswer, { kind: 'wait' }>['for'];

/** Why the host would get no `go` for what it was told, even if a person asked for it at once, limits apart. Undefined: it would. */
export function admittedAtOnce(each: FleetHost, rollout: CurrentRollout | undefined, now: number): Held | undefined {
  const { row, desired } = each;
  if (desired.kind !== 'release') return undefined;
  const ring = rollout === undefined ? 0 : ringIn(rollout)(row.host);
  const answer = admit(
    {
      host: row.host,
      toplevel: desired.release.toplevel,
      because: begins(each, desired),
      ring,
      labels: [],
      isUrgent: true,
      isStopped: isStopped(each.situation),
      isSuperseded: isSuperseded(each.situation, desired.release),
      wasLost: isPastGo(row.went, desired.release.toplevel, now),
    },
    {
      policy: { ...(rollout?.policy ?? DEFAULT_POLICY), maxInFlight: undefined, budgets: [] },
      course: rollout?.course,
      orders: rollout?.orders ?? NO_ORDERS,
      isWindowOpen: true,
      inFlight: { fleet: 0, ring: 0, byLabel: new Map() },
    },
    now,
  );
  return answer.kind === 'go' ? undefined : answer.for;
}

/** Of the directive that the host should have; a trial is none of those that are written in its row. */
function epochOf({ row, desired }: FleetHost): number | undefined {
  return desired.kind === 'release' && desired.because === 'trial' ? row.epoch : row.desired?.epoch;
}

function begins({ row, situation }: FleetHost, desired: Parameters<typeof mayBeginBy>[0]): Asking['because'] {
  return mayBeginBy(desired, situation, row.observed.profile?.toplevel);
}

/** Undefined: its directive is not the newest any more, or it is shut out. */
function judge({ asking, rollout, gone, labels: own }: SlotFacts, epoch: number, now: number): AdmitAnswer | undefined {
  if (asking === undefined) return undefined;
  const { row, desired } = asking;
  if (epochOf(asking) !== epoch || row.revokedAt !== undefined || row.clonedAt !== undefined) return undefined;
  if (desired.kind !== 'release' || (desired.because !== 'trial' && desired.release.id !== row.desired?.releaseId)) return undefined;
  const policy = rollout?.policy ?? DEFAULT_POLICY;
  const ringOf = rollout === undefined ? () => 0 : ringIn(rollout);
  const labels = (host: HostName): readonly string[] => labelsOf(policy, { host, labels: own.get(host) ?? [] });
  const inFlight = countInFlight(
    gone.filter(({ host }) => host !== row.host),
    { ring: ringOf(row.host), ringOf, labels, now },
  );
  const ring = ringOf(row.host);
  return admit(
    {
      host: row.host,
      toplevel: desired.release.toplevel,
      because: begins(asking, desired),
      ring,
      labels: labels(row.host),
      isUrgent: asking.deploy !== undefined,
      isStopped: isStopped(asking.situation),
      isSuperseded: isSuperseded(asking.situation, desired.release),
      wasLost: isPastGo(row.went, desired.release.toplevel, now),
    },
    {
      policy,
      course: rollout?.course,
      orders: rollout?.orders ?? NO_ORDERS,
      isWindowOpen: hostWindowState(policy, ring, asking.timeZone, now).isOpen,
      inFlight,
    },
    now,
  );
}

interface Counting {
  readonly ring: number;
  readonly ringOf: (host: HostName) => number;
  readonly labels: (host: HostName) => readonly string[];
  readonly now: number;
}

/** The hosts between their `go` and the verdict. */
function countInFlight(gone: readonly HostRow[], { ring, ringOf, labels, now }: Counting): InFlight {
  const busy = gone.filter((row) => row.went !== undefined && isInFlight(row, row.went, now));
  const byLabel = new Map<string, number>();
  for (const { host } of busy) for (const label of labels(host)) byLabel.set(label, (byLabel.get(label) ?? 0) + 1);
  return { fleet: busy.length, ring: busy.filter(({ host }) => ringOf(host) === ring).length, byLabel };
}

function isInFlight(row: HostRow, went: Went, now: number): boolean {
  const { isConnected, stateSince: since } = row;
  const facts = { ...lastWordOf(row), since, isConnected, toplevel: went.toplevel, isQuarantined: false, went };
  return progressOf(facts, now) === 'in-flight';
}
