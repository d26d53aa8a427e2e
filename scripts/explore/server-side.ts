import {
  admit,
  decideRollout,
  failuresOf,
  hasApprovals,
  hasArrived,
  pendingStone,
  isActivating,
  nextRollout,
  NO_ORDERS,
  progressOf,
  isRingPromoted,
  isStopped,
  mayBeginBy,
  resolve,
  TRAIN,
  revertOf,
  wentAfter,
  type AdmitAnswer,
  unaskedIn,
  type CommitSha,
  type Desired,
  type HostProgress,
  type HostSituation,
  type LabelStop,
  type OrderedQuarantine,
  type ReleaseRef,
  type ReportedState,
  type RingHost,
  type RolloutDecision,
  type RolloutFacts,
  type RolloutOrders,
  type SteppingStone,
  type StorePath,
  type Went,
} from '@floe/model';
import { NOW, type Revision, type Scene } from './scene.ts';
import { NOT_ASKED, revisionOf, startCourse, systemOf, withHost, type Host, type Report, type Row, type State } from './state.ts';

// The server's side: the real decideRollout(), resolve() and admit(), and a store that is a value. Each function is one transaction.

export function releaseOf({ name }: Host, revision: Revision): ReleaseRef {
  return { id: `${name}@${revision}`, host: name, sequence: revision + 1, toplevel: systemOf(name, revision) };
}

export function ringOf(state: State, host: Host, { rings }: Scene): number {
  return rings[state.hosts.findIndex(({ name }) => name === host.name)] ?? 0;
}

const SAID = { by: 'ada', reason: 'it is bad', at: NOW };

export function ordersOf({ isFrozen, stopped, approvals, resumeOf, isReverted }: State): RolloutOrders {
  return {
    ...NO_ORDERS,
    approvals,
    stops: stopped.map((label) => ({ ...SAID, label, until: undefined })),
    freeze: isFrozen ? { by: 'ada', reason: 'holidays', at: NOW, until: undefined } : undefined,
    abort: isReverted ? { ...SAID, role: 'operator', isRevert: true } : undefined,
    resume: resumeOf === undefined ? undefined : { by: 'ada', role: 'operator', reason: 'seen', at: NOW, of: resumeOf },
  };
}

/** What the server has of its last report. */
export function reportedBy({ row }: Host): ReportedState {
  const { state, subject, runs, profile } = row.seen;
  const observed = { current: runs, booted: null, profile: { generation: 1, toplevel: profile } };
  return { observed, state, subject, isOverridden: row.isOverridden, isRetryPending: row.isRetry };
}

function progressTowards(host: Host, toplevel: StorePath): HostProgress {
  const { row, session } = host;
  const isQuarantined = row.quarantined.includes(toplevel);
  return progressOf({ ...reportedBy(host), isConnected: session !== undefined, toplevel, isQuarantined, went: wentOf(row.went) }, NOW);
}

function wentOf(went: Row['went']): Went | undefined {
  return went && { toplevel: went.toplevel, until: went.isExpired ? NOW - 1 : NOW };
}

export function factsOf(state: State, scene: Scene): RolloutFacts {
  const hosts = state.hosts.map((host): RingHost => {
    const { row } = host;
    const ring = ringOf(state, host, scene);
    const toplevel = systemOf(host.name, state.newest);
    const progress = progressTowards(host, toplevel);
    const isOrderedAway = row.ordered.includes(toplevel) && progress !== 'failed';
    const isStoppedAway = stopsOf(state, host, scene).length > 0 && (progress === 'to-come' || progress === 'waiting' || progress === 'away');
    const stone = stoneOf(host);
    const isStuck =
      stone !== undefined && stone.toplevel !== toplevel && (row.quarantined.includes(stone.toplevel) || row.ordered.includes(stone.toplevel));
    const isElsewhere = isStuck || isOrderedAway || isStoppedAway || row.held !== undefined || row.isOverridden;
    const isStable = systemOf(host.name, row.stable) === toplevel;
    return {
      host: host.name,
      ring,
      toplevel,
      platform: undefined,
      isEligible: !isElsewhere && !isStable,
      isKept: isElsewhere && !isStable,
      progress,
      isBrieflyAway: false,
      failure: undefined,
      isAcknowledged: row.acknowledged.includes(toplevel),
    };
  });
  const windows = scene.policy.rings.map(() => ({ isOpen: true, openMs: 0 }));
  const binds = hasApprovals(scene.policy) ? bindsOf(state) : undefined;
  const { answers: probes } = state.probe;
  return { policy: scene.policy, hosts, windows, orders: ordersOf(state), probes, binds, authors: ['eve'], hasOtherAdministrator: true, weaker: [] };
}

/** What an approval is for. */
export function bindsOf({ newest, builds }: State): string {
  return `${newest}.${builds}`;
}

function stoneOf(host: Host): SteppingStone | undefined {
  const { stones, told } = host.row;
  if (stones.length === 0) return undefined;
  const named = stones.map((revision) => ({ ...releaseOf(host, revision), name: 'key' }));
  return pendingStone(named, { floor: told + 1, hasArrived: (toplevel) => hasArrived(reportedBy(host), toplevel) });
}

/** The stops of its labels. */
export function stopsOf(state: State, host: Host, { labels }: Scene): readonly LabelStop[] {
  const label = labels[state.hosts.findIndex(({ name }) => name === host.name)];
  return (ordersOf(state).stops ?? []).filter((stop) => stop.label === label);
}

export function decideNow(state: State, scene: Scene): RolloutDecision | undefined {
  return state.course && decideRollout(state.course, factsOf(state, scene), NOW);
}

/** The engine's look at the rollout. When it completes, stable advances in the same transaction. */
export function look(state: State, scene: Scene): State {
  if (state.next !== undefined && !mustWait(state, state.next.isDue, scene)) return begin(state, state.next.revision);
  const decision = decideNow(state, scene);
  if (decision === undefined || decision.steps.length === 0) return state;
  const isComplete = decision.course.state === 'COMPLETE';
  const hosts = isComplete ? complete(state, new Set(unaskedIn(decision, factsOf(state, scene))), scene) : state.hosts;
  return { ...state, course: decision.course, hosts, probe: { ...state.probe, isAskedAtEnd: false, isGoodAtEnd: false } };
}

function complete(state: State, unasked: ReadonlySet<string>, { stone }: Scene): State['hosts'] {
  const hosts = advanceStable(state, unasked);
  // It is the first complete one whose policy has the name.
  if (stone === undefined || state.newest < stone || hosts.some(({ row }) => row.stones.length > 0)) return hosts;
  return hosts.map((host) => (host.row.stable === state.newest ? { ...host, row: { ...host.row, stones: [state.newest] } } : host));
}

/** Not of hosts that were not asked, nor of those on which a person said that it does not run. */
function advanceStable({ hosts, newest }: State, unasked: ReadonlySet<string>): State['hosts'] {
  return hosts.map((host) => {
    const { name, row } = host;
    const stays = unasked.has(name) || row.ordered.includes(systemOf(name, newest));
    return stays || row.stable === newest ? host : { ...host, row: { ...row, stable: newest } };
  });
}

const PERMIT = { kind: 'revert', by: 'ada', reason: 'it is bad' } as const;

export function situationOf(state: State, host: Host, scene: Scene): HostSituation {
  const { row } = host;
  return {
    pin: undefined,
    hold: row.held === undefined ? undefined : releaseOf(host, row.held),
    isRingPromoted: state.course !== undefined && isRingPromoted(state.course, ringOf(state, host, scene)),
    rollout: state.course && releaseOf(host, state.newest),
    stable: releaseOf(host, row.stable),
    revert: state.course && revertOf({ course: state.course, orders: ordersOf(state) }),
    directed: row.directed === undefined ? undefined : { ...releaseOf(host, row.directed), permit: row.isPermitted ? PERMIT : undefined },
    floor: row.told + 1,
    quarantined: new Set(row.quarantined),
    ordered: new Map(row.ordered.map((system) => [system, orderOf(system)])),
    stops: stopsOf(state, host, scene),
    stone: stoneOf(host),
  };
}

function orderOf(system: StorePath): OrderedQuarantine {
  const revision = revisionOf(system);
  return { ...SAID, commit: `${revision}`.repeat(40) as CommitSha, sequence: revision + 1, isOfAll: false };
}

export function desiredOf(state: State, host: Host, scene: Scene): Desired {
  return resolve(situationOf(state, host, scene));
}

/** Stores what the host should run, with a new epoch if that changed, and tells it, once for each epoch and connection. */
export function steer(state: State, host: Host, scene: Scene): Host {
  const desired = desiredOf(state, host, scene);
  let { row, session, down } = host;
  if (desired.kind === 'release') {
    const revision = desired.release.sequence - 1;
    const isPermitted = desired.permit !== undefined;
    if (revision !== row.directed || (isPermitted && !row.isPermitted))
      row = { ...row, directed: revision, isPermitted, told: Math.max(row.told, revision), epoch: row.epoch + 1 };
    if (session !== undefined && session.offered !== row.epoch) {
      down = [...down, { type: 'directive', epoch: row.epoch, revision, isRetry: row.isRetry, floor: isPermitted ? row.told + 1 : undefined }];
      session = { offered: row.epoch };
    }
  }
  return row === host.row && session === host.session ? host : { ...host, row, session, down };
}

/** An administrator has a host try again what it rolled back. */
export function retry(host: Host, system: Row['quarantined'][number]): Host {
  const { row } = host;
  return { ...host, row: { ...row, quarantined: row.quarantined.filter((each) => each !== system), isRetry: true, epoch: row.epoch + 1 } };
}

function isInFlight(host: Host): boolean {
  return host.row.went !== undefined && progressTowards(host, host.row.went.toplevel) === 'in-flight';
}

/** A host asks for its `go`. */
export function answerReady(state: State, host: Host, epoch: number, scene: Scene): State {
  const desired = desiredOf(state, host, scene);
  if (epoch !== host.row.epoch || host.session === undefined || admittedNow(state, host, scene)?.kind !== 'go') return state;
  if (desired.kind !== 'release') return state;
  const went = { toplevel: desired.release.toplevel, isExpired: false };
  const down = host.down.some((each) => each.type === 'go' && each.epoch === epoch) ? host.down : [...host.down, { type: 'go', epoch } as const];
  return withHost(state, { ...host, row: { ...host.row, went }, down });
}

/** What `admit()` answers when the host asks with its newest directive now. Undefined: there is nothing that it could ask for. */
export function admittedNow(state: State, host: Host, scene: Scene): AdmitAnswer | undefined {
  const situation = situationOf(state, host, scene);
  const desired = resolve(situation);
  if (desired.kind !== 'release' || desired.release.sequence - 1 !== host.row.directed) return undefined;
  const others = state.hosts.filter(({ name, row }) => name !== host.name && row.went !== undefined).filter((other) => isInFlight(other));
  const inFlight = { fleet: others.length, ring: 0, byLabel: new Map<string, number>() };
  const facts = { policy: scene.policy, course: state.course, orders: ordersOf(state), isWindowOpen: true, inFlight };
  const because = mayBeginBy(desired, situation, host.row.seen.profile);
  const { toplevel } = desired.release;
  const asking = { host: host.name, toplevel, because, ring: ringOf(state, host, scene), labels: [], isStopped: isStopped(situation) };
  return admit(asking, facts, NOW);
}

/** Stores all reports that are waiting, in order. */
export function storeReports(host: Host): Host {
  let { row, down } = host;
  for (const report of host.agent.queue) {
    const next = storeReport(row, report);
    // A connection does not delay a "go" for as long as an activation and its report take.
    if (row.went !== undefined && next.went === undefined) down = down.filter(({ type }) => type !== 'go');
    row = next;
  }
  return { ...host, row, down, agent: { ...host.agent, queue: [] } };
}

function storeReport(row: Row, { epoch, isOverridden, ...seen }: Report): Row {
  const { state, subject } = seen;
  const isFailure = state === 'ROLLED_BACK' && subject !== undefined && !row.quarantined.includes(subject);
  return {
    ...row,
    seen,
    isOverridden,
    quarantined: isFailure ? [...row.quarantined, subject].toSorted() : row.quarantined,
    went: wentAfter(wentOf(row.went), seen) && row.went,
    isRetry: row.isRetry && epoch < row.epoch,
  };
}

/** A newer revision takes the place of the rollout that there is. */
export function publish(state: State, scene: Scene): State {
  const next = { revision: publishedIn(state) + 1, isDue: state.next?.isDue ?? false };
  return mustWait(state, next.isDue, scene) ? { ...state, next } : begin(state, next.revision);
}

/** The newest revision that is published, whether its rollout has begun or not. */
export function publishedIn({ newest, next }: State): Revision {
  return next?.revision ?? newest;
}

function begin(state: State, revision: Revision): State {
  return {
    ...state,
    newest: revision,
    next: undefined,
    course: startCourse(),
    approvals: [],
    probe: NOT_ASKED,
    resumeOf: undefined,
    isReverted: false,
  };
}

/** Whether the rollout that hosts follow is finished before a newer one begins. */
function mustWait(state: State, isDue: boolean, scene: Scene): boolean {
  const { course } = state;
  if (course === undefined) return false;
  const hasFailures = failuresOf(course, factsOf(state, scene)).length > 0;
  const running = { state: course.state, hasFailures, superseded: { count: scene.superseded, since: NOW } };
  return nextRollout(running, { since: isDue ? NOW - TRAIN.ms : NOW, hasNews: true, isHotfix: false }, NOW).kind === 'waits';
}

/** A person resumes the pause, and so acknowledges every failure that is known. */
export function resumePause(state: State, scene: Scene): State {
  if (state.course?.state !== 'PAUSED') return state;
  const failed = new Map(
    factsOf(state, scene).hosts.flatMap(({ host, toplevel, progress }) => (progress === 'failed' ? [[host, toplevel] as const] : [])),
  );
  const hosts = state.hosts.map((host) => {
    const system = failed.get(host.name);
    if (system === undefined || host.row.acknowledged.includes(system)) return host;
    return { ...host, row: { ...host.row, acknowledged: [...host.row.acknowledged, system] } };
  });
  const seen = state.course.pause?.cause === 'probe' ? state.course.pause.answers : [];
  const answers = state.probe.answers.map((each) =>
    seen.some(({ name, number }) => name === each.name && number === each.number) && each.ring === state.course?.ring
      ? { ...each, isAcknowledged: true }
      : each,
  );
  return { ...state, hosts, probe: { ...state.probe, answers }, resumeOf: state.course.since };
}

/** The time comes by which its watchdog must have acted: no `go` is under way so late, and nothing is armed any more. */
export function expire(host: Host): Host | undefined {
  const { row, agent, machine, down } = host;
  const { state } = agent.journal;
  if (row.went === undefined || row.went.isExpired || down.some(({ type }) => type === 'go') || machine.watchdog === 'armed') return undefined;
  if (state === 'COMMITTING' || (agent.isRunning && isActivating(state))) return undefined;
  return { ...host, row: { ...row, went: { ...row.went, isExpired: true } } };
}
