import {
  isTerminalAgentState,
  isWaiting,
  isStopped,
  isSuperseded,
  isTakenBack,
  isWithdrawn,
  type AgentState,
  type Desired,
  type HostName,
  type PermitGrounds,
  type ReleaseRef,
  type ToldBefore,
} from '@floe/model';
import { createWake, isAboutSubject, type Clock, type Logger, type Signer, type Troubles } from '@floe/runtime';
import { trialEndWords } from '@floe/views';
import { sequenceFloor, type CurrentRollout, type DesiredRelease, type Fleet, type FleetHost, type HostRow, type StorePart } from '@floe/store';
import type { AgentHub } from './agents/hub.ts';
import { sendHints, toHint } from './hints.ts';
import { offerDirectives, type Addressee, type DirectiveDeps } from './directives.ts';
import { liftEndedQuarantines, type EndedQuarantinesDeps } from './ended-quarantines.ts';
import type { RolloutEngine } from './rollouts/engine.ts';

/** Everything is looked at again this often, whatever hints were lost. */
const FULL_PASS_MS = 30_000;
/** After a failure (database away), the next try. */
const RETRY_MS = 1_000;

/** After a look that told so many hosts, or was for so many, the next one comes so much later: what they report is gathered meanwhile. */
const MANY_HOSTS = 1_000;
const MANY_REST_MS = 1_000;

/** Of the server as a whole: no host and no revision has a name like it. */
const SERVER_SUBJECT = 'server: steering';

/**
 * Whether a report of this state may move the rollout, and with it what hosts are told to run. Other reports only say how far the
 * host is.
 */
export function movesRollout(state: AgentState): boolean {
  return isTerminalAgentState(state) || isWaiting(state) || state === 'BLOCKED' || state === 'ACTIVATING' || state === 'IDLE';
}

export interface SteeringDeps {
  readonly store: StorePart<{ hosts: 'fleet' | 'desire' | 'endTrial' | 'logTrialEnd' }> & DirectiveDeps['store'] & EndedQuarantinesDeps['store'];
  readonly hub: Pick<AgentHub, 'session'>;
  readonly clock: Clock & DirectiveDeps['clock'];
  readonly logger: Logger;
  readonly serverSigner: Signer;
  readonly releaser: DirectiveDeps['releaser'];
  readonly troubles: Troubles;
  readonly repositoryId: string;
  /** Takes the rollout further, before each host is looked at. */
  readonly rollouts: Pick<RolloutEngine, 'tick'>;
}

/** The hosts of both, or 'all'. */
function union(some: ReadonlySet<HostName> | 'all' | undefined, others: Iterable<HostName> | 'all'): Set<HostName> | 'all' {
  return some === 'all' || others === 'all' ? 'all' : new Set([...(some ?? []), ...others]);
}

/** Called after a pass with the hosts that there may be news of, or 'all'. */
export type AfterPass = (hosts: ReadonlySet<HostName> | 'all') => void;

/**
 * Brings stored desired state and connected agents together, level-triggered: a hint marks hosts, a pass computes what
 * each should run now with `resolve()`, stores it if it differs, and tells the agent if it is here. Repeating a pass
 * changes nothing.
 */
export class Steering {
  readonly #deps: SteeringDeps;
  readonly #wake = createWake();
  readonly #afterPass: AfterPass;
  #marked = new Set<HostName>();
  #isAllMarked = true;
  /** The next pass looks at all hosts, to decide about the rollout. */
  #isRolloutMarked = true;
  /** When time alone may move the rollout. */
  #dueInMs: number | undefined;
  /** Hosts to announce after the next pass that the pass itself does not steer. */
  #news: Set<HostName> | 'all' | undefined;

  constructor(deps: SteeringDeps, afterPass: AfterPass) {
    this.#deps = deps;
    this.#afterPass = afterPass;
  }

  mark(host: HostName): void {
    this.#marked.add(host);
    this.#wake.wake();
  }

  /** The host reported something that may move the rollout: the next pass decides about it with all hosts. */
  markRollout(host: HostName): void {
    this.#isRolloutMarked = true;
    this.mark(host);
  }

  /** Adds hosts to announce after the next pass that the pass itself does not steer, so that each change is announced once. */
  markNews(hosts: Iterable<HostName> | 'all'): void {
    this.#news = union(this.#news, hosts);
    this.#wake.wake();
  }

  markAll(): void {
    this.#isAllMarked = true;
    this.#wake.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, troubles } = this.#deps;
    let lastFullAt = Number.NEGATIVE_INFINITY;
    // Also when something else wakes it all the time.
    const untilFullMs = (): number => Math.max(0, lastFullAt + Math.min(FULL_PASS_MS, this.#dueInMs ?? FULL_PASS_MS) - clock.monotonic());
    while (!signal.aborted) {
      const startedAt = clock.monotonic();
      if (untilFullMs() === 0) this.#isAllMarked = true;
      const hosts: ReadonlySet<HostName> | 'all' = this.#isAllMarked ? 'all' : this.#marked;
      const looked = this.#isRolloutMarked ? 'all' : hosts;
      const news = union(this.#news, hosts);
      this.#marked = new Set();
      this.#isAllMarked = false;
      this.#isRolloutMarked = false;
      this.#news = undefined;
      let toldCount = 0;
      try {
        const { isMoved, told } = await this.#pass(looked);
        toldCount = told;
        if (looked === 'all') lastFullAt = startedAt;
        troubles.end('steering', SERVER_SUBJECT);
        this.#afterPass(isMoved ? 'all' : news);
      } catch (error) {
        // Not fatal: reports are stored without it.
        if (isAboutSubject(error)) troubles.note('steering', SERVER_SUBJECT, error);
        else logger.warn('steering failed; trying again', { error });
        this.#isAllMarked = true;
        await clock.sleep(RETRY_MS, signal);
        continue;
      }
      // Of thousands of hosts there is always news: others get as long as a pass takes.
      const isMany = toldCount >= MANY_HOSTS || (hosts !== 'all' && hosts.size >= MANY_HOSTS);
      await clock.sleep(Math.max(clock.monotonic() - startedAt, isMany ? MANY_REST_MS : 0), signal);
      await this.#wake.wait(untilFullMs(), signal);
    }
  }

  /** Resolves to whether the rollout moved, and how many hosts were told something. */
  async #pass(hosts: ReadonlySet<HostName> | 'all'): Promise<{ readonly isMoved: boolean; readonly told: number }> {
    const { store, repositoryId, rollouts } = this.#deps;
    if (hosts !== 'all' && hosts.size === 0) return { isMoved: false, told: 0 };
    const fleet = await store.hosts.fleet(repositoryId, hosts === 'all' ? undefined : [...hosts]);
    await liftEndedQuarantines(this.#deps, fleet);
    if (hosts !== 'all') return { isMoved: false, told: await this.#steer(fleet) };
    const { fleet: decided, isMoved, dueInMs } = await rollouts.tick(fleet);
    this.#dueInMs = dueInMs;
    return { isMoved, told: await this.#steer(decided) };
  }

  /** Resolves to how many hosts were told something. */
  async #steer(fleet: Fleet): Promise<number> {
    const { store, hub, clock, logger, troubles, repositoryId } = this.#deps;
    await this.#endTrials(fleet);
    await this.#logEndedTrials(fleet);
    const now = clock.now();
    const wanted = fleet.hosts.flatMap((each): Wanted[] => {
      const { row, desired, deploy } = each;
      if (isTakenBack(toldBefore(row), desired)) return [{ row, deploy: undefined, release: desired.release, because: 'kept', isOnlyStaged: true }];
      return desired.kind === 'release' && desired.because !== 'trial'
        ? [{ row, deploy, ...desired, isOnlyStaged: isOnlyStaged(each, desired, fleet.rollout, now) }]
        : [];
    });
    const moved = new Map<HostName, number>();
    await troubles.together(
      'deciding what it is to run',
      wanted,
      ({ row }) => row.host,
      async (some) => {
        const news = some.filter(isNews);
        if (news.length === 0) return;
        const releases = news.map(({ row, release, isOnlyStaged: isStaged, permit }): DesiredRelease => {
          return { ...release, epoch: row.unreadable === undefined ? row.epoch : undefined, isOnlyStaged: isStaged, permit };
        });
        for (const { host, epoch } of await store.hosts.desire(releases, clock.now())) moved.set(host, epoch);
        for (const { row, release, because, isOnlyStaged: isStaged } of news)
          if (moved.has(row.host))
            logger.info('desired state changed', {
              host: row.host,
              epoch: moved.get(row.host),
              toplevel: release.toplevel,
              because,
              isOnlyStaged: isStaged,
            });
      },
    );

    const addressees = wanted.flatMap((each): Addressee[] => {
      const session = hub.session(each.row.host);
      const desired = desiredNow(each, moved.get(each.row.host), clock.now());
      const floor = sequenceFloor(each.row);
      return session === undefined || desired === undefined
        ? []
        : [{ session, desired, floor, runsIt: runsIt(each.row, desired), isRetry: each.row.retryEpoch !== undefined, deploy: each.deploy }];
    });
    addressees.push(...fleet.hosts.flatMap((each) => this.#tryingOne(each)));
    let told = 0;
    await troubles.together(
      'telling it',
      addressees,
      ({ session }) => session.host,
      async (some) => {
        for (const { host, epoch } of await offerDirectives(this.#deps, repositoryId, some)) {
          told += 1;
          logger.info('directive sent', { host, epoch });
        }
      },
    );
    // After the directives: a hint is for what comes next.
    await troubles.together(
      'hinting at its next system',
      toHint(fleet, ({ row }) => hub.session(row.host), clock.now()),
      ({ session }) => session.host,
      async (some) => await sendHints(this.#deps, repositoryId, some),
    );
    return told;
  }

  /** What came of a trial stands in the log of decisions, beside who asked for it. */
  async #logEndedTrials({ hosts }: Fleet): Promise<void> {
    const { store, troubles } = this.#deps;
    await troubles.each(
      'writing down the end of its trial',
      hosts.flatMap(({ endedTrial }) => (endedTrial === undefined || endedTrial.isEndLogged ? [] : [endedTrial])),
      ({ host }) => host,
      async (ended) => {
        const entry = { at: ended.endedAt, actor: 'floe', action: 'try', subject: ended.host, detail: trialEndWords(ended) };
        await store.hosts.logTrialEnd(ended, entry);
      },
    );
  }

  /** A trial whose time has come: the host hears of the fleet's release again, which ends it there, too. */
  async #endTrials({ hosts }: Fleet): Promise<void> {
    const { store, clock, logger, troubles } = this.#deps;
    const over = hosts.flatMap(({ trial }) => (trial !== undefined && trial.endsAt <= clock.now() ? [trial] : []));
    await troubles.each(
      'ending its trial',
      over,
      ({ host }) => host,
      async (trial) => {
        const { host, commit } = trial;
        if (await store.hosts.endTrial(trial, 'its time has come', clock.now())) logger.info('a trial is over', { host, commit });
      },
    );
  }

  /** Told beside what the fleet has for the host, which stays as it is written. An agent from before trials is told nothing meanwhile. */
  #tryingOne({ row, desired, trial }: FleetHost): Addressee[] {
    const { hub, clock } = this.#deps;
    if (trial === undefined || trial.endsAt <= clock.now() || row.unreadable !== undefined) return [];
    // A person may have quarantined what it tries.
    if (desired.kind !== 'release' || desired.because !== 'trial') return [];
    const session = hub.session(row.host);
    if (session === undefined || !session.capabilities.has('trial')) return [];
    const { id: releaseId, toplevel, sequence, envelope, at } = trial;
    // It accepts no sequence, and so needs no permit, however old it is.
    return [{ session, desired: { releaseId, toplevel, sequence, epoch: row.epoch, since: at }, floor: 0, envelope, isRetry: false }];
  }
}

interface Wanted {
  readonly row: HostRow;
  readonly release: ReleaseRef;
  readonly deploy: FleetHost['deploy'];
  readonly because: Because;
  readonly permit?: PermitGrounds | undefined;
  /** It is to have the release, and not to activate it. */
  readonly isOnlyStaged: boolean;
}
type Because = Extract<Desired, { kind: 'release' }>['because'];

/** What should run is not what is written in the row. */
function isNews({ row: { desired }, release, isOnlyStaged: isStaged, permit }: Wanted): boolean {
  if (desired?.releaseId !== release.id) return true;
  if ((desired.isOnlyStaged ?? false) !== isStaged) return true;
  // Another word of an operator is for a directive of its own.
  const isOtherWord = permit?.word !== undefined && permit.word.signature !== desired.permit?.word?.signature;
  return (permit !== undefined && desired.permit === undefined) || isOtherWord;
}

function runsIt({ state, stateToplevel }: HostRow, { toplevel }: Pick<ReleaseRef, 'toplevel'>): boolean {
  return state === 'SUCCEEDED' && stateToplevel === toplevel;
}

function toldBefore({ desired, state, stateToplevel: subject }: HostRow): ToldBefore {
  return { toplevel: desired?.toplevel, isStaged: desired?.isOnlyStaged === true, state, subject };
}

/** A system that waits for a restart is taken back when it is not promoted any more (`isWithdrawn()`), until it is again. */
function isOnlyStaged(
  { row, situation }: FleetHost,
  { release, because }: Extract<Desired, { kind: 'release' }>,
  rollout: CurrentRollout | undefined,
  now: number,
): boolean {
  const isStaged = row.desired?.releaseId === release.id && row.desired.isOnlyStaged === true;
  const { state, stateToplevel: subject } = row;
  const isLabelStopped = isStopped(situation);
  const to = { host: row.host, toplevel: release.toplevel, because, state, subject, isStaged, isLabelStopped };
  return rollout !== undefined && isWithdrawn({ ...to, isSuperseded: isSuperseded(situation, release) }, rollout, now);
}

/**
 * The desired state to send to the host. Undefined: its row cannot be read, or another server wrote it since it was read, whose hint
 * brings the next pass.
 */
function desiredNow(wanted: Wanted, movedTo: number | undefined, now: number): HostRow['desired'] {
  const { row, release } = wanted;
  if (row.unreadable !== undefined) return undefined;
  if (!isNews(wanted)) return row.desired;
  if (movedTo === undefined) return undefined;
  const { isOnlyStaged: isStaged, permit } = wanted;
  return {
    releaseId: release.id,
    toplevel: release.toplevel,
    sequence: release.sequence,
    epoch: movedTo,
    since: now,
    isOnlyStaged: isStaged,
    permit,
  };
}
