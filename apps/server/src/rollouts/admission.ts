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
import { lastWordOf, type CurrentRollout, type Evaluation, type FleetHost, type HostRow, type SlotFacts, type StorePart } from '@floe/store';
import { hostWindowState } from './windows.ts';

/** How long the agent may take to begin after its `go`; its watchdog has acted before {@link VERDICT_MS} are over. */
export const GO_LEASE_MS = 30 * 60_000;

export interface AdmissionDeps {
  readonly store: StorePart<{ hosts: 'takeSlot'; revisions: 'evaluations' }>;
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
  /** `later`: hosts whose own labels were not known then, because they were not evaluated, or had an error. */
  #labels: { readonly revisionId: string; readonly byHost: LabelsByHost; readonly later: ReadonlySet<HostName> } | undefined;

  constructor(deps: AdmissionDeps) {
    this.#deps = deps;
  }

  async mayActivate(host: HostName, epoch: number): Promise<boolean> {
    return await this.#ask(host, epoch, { hasJustRead: false });
  }

  async #ask(host: HostName, epoch: number, how: { readonly hasJustRead: boolean }): Promise<boolean> {
    const { store, clock, logger, repositoryId } = this.#deps;
    let waits: AdmitAnswer | undefined;
    let unlabelled: CurrentRollout | undefined;
    const went = await store.hosts.takeSlot(repositoryId, host, (facts) => {
      const labels = this.#labelsOf(facts, how);
      if (labels === undefined) {
        unlabelled = facts.rollout;
        return undefined;
      }
      const answer = judge(facts, { epoch, labels, now: clock.now() });
      const { desired } = facts.asking ?? {};
      const toplevel = desired?.kind === 'release' ? desired.release.toplevel : undefined;
      if (answer?.kind === 'go' && toplevel !== undefined) return wentAgain(facts.asking?.row.went, { toplevel, epoch }, clock.now(), VERDICT_MS);
      waits = answer;
      return undefined;
    });
    if (unlabelled !== undefined) {
      await this.#readLabels(unlabelled);
      return await this.#ask(host, epoch, { hasJustRead: true });
    }
    if (waits !== undefined) logger.debug('a host that is ready waits', { host, epoch, ...waits });
    return went !== undefined;
  }

  /** Undefined: they have to be read first, which is not done while all others wait. */
  #labelsOf({ rollout, asking, gone }: SlotFacts, { hasJustRead }: { readonly hasJustRead: boolean }): LabelsByHost | undefined {
    if (rollout === undefined || rollout.policy.budgets.length === 0) return NO_LABELS;
    if (this.#labels?.revisionId !== rollout.revisionId) return undefined;
    const { byHost, later } = this.#labels;
    // Who has a release by now was evaluated meanwhile.
    const isOld = [...(asking === undefined ? [] : [asking.row]), ...gone].some(({ host }) => later.has(host) || !byHost.has(host));
    return isOld && !hasJustRead ? undefined : byHost;
  }

  async #readLabels({ revisionId, policy }: CurrentRollout): Promise<void> {
    const evaluations = await this.#deps.store.revisions.evaluations(revisionId);
    const later = evaluations.filter(({ toplevel }) => toplevel === undefined).map(({ host }) => host);
    this.#labels = { revisionId, byHost: labelsByHost({ policy }, evaluations), later: new Set(later) };
  }
}

type LabelsByHost = ReadonlyMap<HostName, readonly string[]>;
const NO_LABELS: LabelsByHost = new Map();

interface Asked {
  readonly epoch: number;
  readonly labels: LabelsByHost;
  readonly now: number;
}

/** What `judge` would answer if the host asked with its newest directive now. */
export function admittedNow(facts: SlotFacts, labels: LabelsByHost, now: number): AdmitAnswer | undefined {
  const epoch = facts.asking === undefined ? undefined : epochOf(facts.asking);
  return epoch === undefined ? undefined : judge(facts, { epoch, labels, now });
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

/** The labels of all hosts, for the budgets. */
export function labelsByHost({ policy }: Pick<CurrentRollout, 'policy'>, evaluations: readonly Evaluation[]): LabelsByHost {
  return new Map(evaluations.map(({ host, labels }) => [host, labelsOf(policy, { host, labels: labels ?? [] })]));
}

/** Of the directive that the host should have; a trial is none of those that are written in its row. */
function epochOf({ row, desired }: FleetHost): number | undefined {
  return desired.kind === 'release' && desired.because === 'trial' ? row.epoch : row.desired?.epoch;
}

function begins({ row, situation }: FleetHost, desired: Parameters<typeof mayBeginBy>[0]): Asking['because'] {
  return mayBeginBy(desired, situation, row.observed.profile?.toplevel);
}

/** Undefined: its directive is not the newest any more, or it is shut out. */
function judge({ asking, rollout, gone }: SlotFacts, { epoch, labels, now }: Asked): AdmitAnswer | undefined {
  if (asking === undefined) return undefined;
  const { row, desired } = asking;
  if (epochOf(asking) !== epoch || row.revokedAt !== undefined || row.clonedAt !== undefined) return undefined;
  if (desired.kind !== 'release' || (desired.because !== 'trial' && desired.release.id !== row.desired?.releaseId)) return undefined;
  const policy = rollout?.policy ?? DEFAULT_POLICY;
  const ringOf = rollout === undefined ? () => 0 : ringIn(rollout);
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
      labels: labels.get(row.host) ?? [],
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
  readonly labels: LabelsByHost;
  readonly now: number;
}

/** The hosts between their `go` and the verdict. */
function countInFlight(gone: readonly HostRow[], { ring, ringOf, labels, now }: Counting): InFlight {
  const busy = gone.filter((row) => row.went !== undefined && isInFlight(row, row.went, now));
  const byLabel = new Map<string, number>();
  for (const { host } of busy) for (const label of labels.get(host) ?? []) byLabel.set(label, (byLabel.get(label) ?? 0) + 1);
  return { fleet: busy.length, ring: busy.filter(({ host }) => ringOf(host) === ring).length, byLabel };
}

function isInFlight(row: HostRow, went: Went, now: number): boolean {
  const { isConnected, stateSince: since } = row;
  const facts = { ...lastWordOf(row), since, isConnected, toplevel: went.toplevel, isQuarantined: false, went };
  return progressOf(facts, now) === 'in-flight';
}
