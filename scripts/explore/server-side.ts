import {
  admit,
  decideRollout,
  failuresOf,
  isActivating,
  isPastGo,
  isStopped,
  isSuperseded,
  mayBeginBy,
  nextRollout,
  resolve,
  TRAIN,
  unaskedIn,
  isLastWord,
  wentAfter,
  wentAfterTrial,
  type AdmitAnswer,
  type HostName,
  type RolloutDecision,
} from '@floe/model';
import { factsOf, ordersOf, progressTowards, ringOf, wentOf } from './facts.ts';
import { NOW, type Revision, type Scene } from './scene.ts';
import { changeOf, NOT_ASKED, startCourse, systemOf, withHost, type Host, type Report, type Row, type State } from './state.ts';
import { desiredOf, situationOf } from './told.ts';

// The server's side: the real decideRollout() and admit(), and a store that is a value. Each function is one transaction.

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

function complete(state: State, unasked: ReadonlySet<string>, scene: Scene): State['hosts'] {
  const { stone } = scene;
  const hosts = advanceStable(state, unasked, scene);
  // It is the first complete one whose policy has the name.
  if (stone === undefined || state.newest < stone || hosts.some(({ row }) => row.stones.length > 0)) return hosts;
  const changed = (host: Host): Revision => changeOf(host.name, state.newest, scene);
  return hosts.map((host) => (host.row.stable === changed(host) ? { ...host, row: { ...host.row, stones: [changed(host)] } } : host));
}

/** Not of hosts that were not asked, nor of those on which a person said that it does not run. */
function advanceStable({ hosts, newest }: State, unasked: ReadonlySet<string>, scene: Scene): State['hosts'] {
  return hosts.map((host) => {
    const { name, row } = host;
    const stable = changeOf(name, newest, scene);
    const stays = unasked.has(name) || row.ordered.includes(systemOf(name, stable));
    return stays || row.stable === stable ? host : { ...host, row: { ...row, stable } };
  });
}

function isInFlight(host: Host): boolean {
  return host.row.went !== undefined && progressTowards(host, host.row.went.toplevel) === 'in-flight';
}

/** A host asks for its `go`. */
export function answerReady(state: State, host: Host, epoch: number, scene: Scene): State {
  const desired = desiredOf(state, host, scene);
  if (epoch !== host.row.epoch || host.session === undefined || admittedNow(state, host, scene)?.kind !== 'go') return state;
  if (desired.kind !== 'release') return state;
  const went = { toplevel: desired.release.toplevel, epoch, isExpired: false };
  const down = host.down.some((each) => each.type === 'go' && each.epoch === epoch) ? host.down : [...host.down, { type: 'go', epoch } as const];
  return withHost(state, { ...host, row: { ...host.row, went }, down });
}

/** What `admit()` answers when the host asks with its newest directive now. Undefined: there is nothing that it could ask for. */
export function admittedNow(state: State, host: Host, scene: Scene): AdmitAnswer | undefined {
  const situation = situationOf(state, host, scene);
  const desired = resolve(situation);
  if (desired.kind !== 'release' || (desired.because !== 'trial' && desired.release.sequence - 1 !== host.row.directed)) return undefined;
  const others = state.hosts.filter(({ name, row }) => name !== host.name && row.went !== undefined).filter((other) => isInFlight(other));
  const inFlight = { fleet: others.length, ring: 0, byLabel: new Map<string, number>() };
  const facts = { policy: scene.policy, course: state.course, orders: ordersOf(state), isWindowOpen: true, inFlight };
  const because = mayBeginBy(desired, situation, host.row.seen.profile);
  const { toplevel } = desired.release;
  const asking = {
    host: host.name,
    toplevel,
    because,
    ring: ringOf(state, host, scene),
    labels: [],
    isStopped: isStopped(situation),
    isSuperseded: isSuperseded(situation, desired.release),
    wasLost: isPastGo(wentOf(host.row.went), toplevel, NOW),
  };
  return admit(asking, facts, NOW);
}

/** Stores all reports that are waiting, in order. */
export function storeReports(host: Host): Host {
  let { row, down } = host;
  for (const report of host.agent.queue) {
    const next = afterReport(host.name, row, report);
    // A connection does not delay a "go" for as long as an activation and its report take.
    if (row.went !== undefined && next.went === undefined) down = down.filter(({ type }) => type !== 'go');
    row = next;
  }
  return { ...host, row, down, agent: { ...host.agent, queue: [] } };
}

function afterReport(name: HostName, row: Row, report: Report): Row {
  const { epoch, state, subject } = report;
  const { trial } = row;
  const tried = trial && { toplevel: systemOf(name, trial.revision), epoch: trial.epoch, isOpen: !trial.isEnded };
  if (trial === undefined || tried === undefined || !isLastWord(tried, { state, subject, epoch })) return storeReport(row, report);
  const { isOpen } = tried;
  // The agent's last word about a trial ends it. That it refused to try it is no refusal of what the fleet has.
  const next = storeReport(row, isOpen && state === 'REJECTED' ? { ...report, state: 'IDLE' } : report);
  const isPlaceOver = wentAfterTrial(wentOf(next.went), { state, subject, epoch }, { trial: tried, epoch: row.epoch }) === undefined;
  const ended = isOpen ? { ...next, trial: { ...trial, isEnded: true }, epoch: next.epoch + 1 } : next;
  return isPlaceOver ? { ...ended, went: undefined } : ended;
}

function storeReport(row: Row, { epoch, isOverridden, ...seen }: Report): Row {
  const { state, subject } = seen;
  const isFailure = state === 'ROLLED_BACK' && subject !== undefined && !row.quarantined.includes(subject);
  return {
    ...row,
    seen: { ...seen, isLong: false },
    isOverridden,
    quarantined: isFailure ? [...row.quarantined, subject].toSorted() : row.quarantined,
    went: wentAfter(wentOf(row.went), { ...seen, epoch }) && row.went,
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
  const failed = failuresOf(state.course, factsOf(state, scene));
  const hosts = state.hosts.map((host) => {
    const systems = failed.flatMap((failure) => (failure.host === host.name ? [failure.toplevel] : []));
    if (systems.length === 0) return host;
    return { ...host, row: { ...host.row, acknowledged: [...new Set([...host.row.acknowledged, ...systems])].toSorted() } };
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
  if (
    row.went === undefined ||
    (row.went.isExpired && row.seen.isLong === (row.seen.state === 'BOOT_VERIFYING')) ||
    down.some(({ type }) => type === 'go') ||
    machine.watchdog === 'armed'
  )
    return undefined;
  if (state === 'COMMITTING' || (agent.isRunning && isActivating(state))) return undefined;
  return { ...host, row: { ...row, went: { ...row.went, isExpired: true }, seen: { ...row.seen, isLong: row.seen.state === 'BOOT_VERIFYING' } } };
}
