import {
  decide,
  isLocalOverride,
  rollbackTarget,
  TRIAL_OVER,
  type AgentDirective,
  type AgentEvent,
  type CommitSha,
  type Observed,
  type StorePath,
} from '@floe/model';
import { NOW, type Scene } from './scene.ts';
import { revisionOf, systemOf, type Agent, type Down, type Host, type Machine, type Report } from './state.ts';

// The agent's side: its real decide(), and a machine that does what its jobs do.

const DETAIL = { code: 'TEST', message: 'it does not work' };
/** Jobs that touch nothing that others see. They are run at once, which loses no order of events that matters. */
const QUICK: ReadonlySet<string> = new Set(['inspect', 'download', 'assess', 'precheck', 'stage-boot']);

function observe({ machine }: Host): Observed {
  return { current: machine.runs, booted: null, profile: { generation: 1, toplevel: machine.profile } };
}

/** One event: the journal is on disk, then the effects run. Then everything that is quick. */
export function dispatch(host: Host, event: AgentEvent, scene: Scene): Host {
  const { journal, effects } = decide(host.agent.journal, event, NOW);
  let { job, wait } = host.agent;
  if (event.type === 'restarted') [job, wait] = [undefined, undefined];
  const queue: Report[] = [...host.agent.queue];
  let { watchdog } = host.machine;
  for (const effect of effects) {
    if (effect.type === 'stop-job') [job, wait] = [undefined, undefined];
    else if (effect.type === 'start-job') [job, wait] = [effect.job, undefined];
    else if (effect.type === 'ask') wait = 'ask';
    else if (effect.type === 'take-pending') wait = 'pending';
    else if (effect.type === 'take-pending-at') wait = 'user';
    else if (effect.type === 'look-again') wait = 'conditions';
    else if (effect.type === 'await-reboot') wait = 'restart';
    else if (effect.type === 'tidy') watchdog = 'off';
    else if (effect.type === 'report') {
      const { state, epoch, toplevel, detail } = effect;
      // A trial that it refuses for what its user chose leaves that: the server takes it for resting.
      const isOverridden = isLocalOverride(state === 'REJECTED' ? 'IDLE' : state, detail ?? undefined);
      queue.push({ state, epoch, subject: toplevel ?? undefined, isOverridden, runs: host.machine.runs, profile: host.machine.profile });
    }
  }
  const agent: Agent = { ...host.agent, journal, queue, job, wait };
  const next: Host = { ...host, agent, machine: { ...host.machine, watchdog } };
  if (wait === 'pending') return dispatch({ ...next, agent: { ...agent, wait: undefined } }, { type: 'pending-due' }, scene);
  return job !== undefined && QUICK.has(job) ? finishJob(next, scene) : next;
}

/** What the job does to the machine. */
export function applyJob(host: Host): Host {
  const { job, journal } = host.agent;
  const system = journal.directive?.release.toplevel;
  if (system === undefined) return host;
  const { machine } = host;
  switch (job) {
    case 'activate':
      return { ...host, machine: { ...machine, runs: system, watchdog: 'armed' } };
    case 'commit':
      return { ...host, machine: { ...machine, profile: system }, verified: add(host.verified, system) };
    case 'stage-boot':
      return { ...host, machine: { ...machine, staged: system } };
    case 'roll-back': {
      const unstaged = { ...machine, staged: undefined, watchdog: 'off' } as const;
      // What was not started needs no switch back, and what a user chose meanwhile stays.
      if (journal.verdict === 'superseded' && machine.runs !== system) return { ...host, machine: unstaged };
      const back = journal.before?.toplevel ?? machine.runs;
      return { ...host, machine: { ...unstaged, runs: back, profile: back } };
    }
    default:
      return host;
  }
}

function add(systems: readonly StorePath[], system: StorePath): readonly StorePath[] {
  return systems.includes(system) ? systems : [...systems, system].toSorted((one, other) => (one < other ? -1 : 1));
}

/** The job ends, and its result is the next event. */
export function finishJob(before: Host, scene: Scene): Host {
  const host = applyJob(before);
  const event = resultOf(host, scene);
  return event === undefined ? host : dispatch({ ...host, agent: { ...host.agent, job: undefined } }, event, scene);
}

function resultOf(host: Host, scene: Scene): AgentEvent | undefined {
  const { job, journal } = host.agent;
  if (job === undefined || journal.directive === null) return undefined;
  const { epoch, release } = journal.directive;
  const { machine } = host;
  const isBad = scene.bad.has(revisionOf(release.toplevel));
  const timed = { epoch, tookMs: 1 };
  switch (job) {
    case 'inspect':
      return { type: 'inspected', epoch, isOnTarget: machine.runs === release.toplevel && machine.profile === release.toplevel };
    case 'download':
      return { type: 'downloaded', ...timed };
    case 'assess':
      return { type: 'assessed', epoch, impact: 'units', wait: null };
    case 'precheck': {
      const toplevel = rollbackTarget(journal, observe(host), release.toplevel);
      return {
        type: 'cleared',
        epoch,
        how: scene.needsRestart === true ? 'boot' : 'switch',
        before: { toplevel, profile: machine.profile, failedUnits: [], serverUrl: null, cache: null },
      };
    }
    case 'activate':
      return { type: 'switched', ...timed };
    case 'verify':
      return isBad ? { type: 'verify-failed', ...timed, isContactLost: false, detail: DETAIL } : { type: 'verified', ...timed, note: null };
    case 'commit':
      return { type: 'committed', ...timed };
    case 'roll-back':
      return { type: 'rolled-back', ...timed, hasContact: true };
    case 'stage-boot':
      return { type: 'boot-staged', ...timed, detail: { code: 'REBOOT_NEEDED', message: 'it waits for a restart' } };
    case 'reboot':
      return undefined;
  }
}

export function receive(host: Host, message: Down, scene: Scene): Host {
  if (message.type === 'go') return dispatch(host, { type: 'go', epoch: message.epoch }, scene);
  const { epoch, revision, isRetry, isTrial, isOnlyStaged, floor } = message;
  const toplevel = systemOf(host.name, revision);
  const release = {
    repository: 'r',
    ref: 'main',
    commit: `${revision}`.repeat(40) as CommitSha,
    sequence: revision + 1,
    toplevel,
    closureSizeBytes: 1,
  };
  // Found before the agent decides: what it rolled back is not tried.
  if (isTrial && epoch > host.agent.journal.epoch && host.agent.journal.quarantined.includes(toplevel))
    return dispatch(host, { type: 'refused', epoch, toplevel, detail: DETAIL }, scene);
  const trial = isTrial ? { endsAt: NOW + 1, endsAtUptimeMs: NOW + 1, bootId: '' } : null;
  const directive: AgentDirective = { epoch, trial, mode: isOnlyStaged ? 'stage' : 'activate', isRetry, release, envelope: '' };
  return dispatch(host, { type: 'offered', directive, freshness: null, floor }, scene);
}

/** The agent is killed, or the machine loses power: what is only in memory is gone, the connection, too. */
export function crash(host: Host, isReboot: boolean): Host {
  const agent = { ...host.agent, isRunning: false, job: undefined, wait: undefined };
  return { ...disconnect(host), agent, machine: isReboot ? started(host.machine) : host.machine };
}

/** What a start of the machine brings: once what is staged, with the boot guard. */
function started({ staged, profile }: Machine): Machine {
  return { runs: staged ?? profile, profile, staged: undefined, watchdog: staged === undefined ? 'off' : 'armed' };
}

/** A user restarts the machine. */
export function restartMachine(host: Host, scene: Scene): Host {
  return restart(crash(host, true), true, scene);
}

export function disconnect(host: Host): Host {
  return { ...host, session: undefined, down: [], up: [] };
}

export function restart(host: Host, isNewBoot: boolean, scene: Scene): Host {
  const { journal } = host.agent;
  const next: Host = {
    ...host,
    agent: { ...host.agent, isRunning: true },
    machine: { ...host.machine, watchdog: host.machine.watchdog === 'armed' ? 'armed' : 'off' },
  };
  // As the agent finds out what an earlier run left unfinished.
  const isUnfinished = journal.state === 'ACTIVATING' || journal.state === 'VERIFYING';
  if (host.machine.watchdog === 'acted' && isUnfinished && journal.directive !== null)
    return dispatch(next, { type: 'watchdog-rolled-back', epoch: journal.directive.epoch, detail: DETAIL }, scene);
  const isOnTarget = journal.directive?.release.toplevel === host.machine.runs;
  const isStarted = journal.state === 'BOOT_STAGED' || journal.state === 'BOOT_VERIFYING';
  const fellBack = isStarted && host.machine.watchdog === 'acted';
  const isOther = isNewBoot || fellBack || journal.state === 'BOOT_VERIFYING';
  return dispatch(next, { type: 'restarted', isNewBoot: isOther, isOnTarget, fellBack }, scene);
}

/** The watchdog acts while the agent is off: it rolls back, or finishes the commit when the verdict was passed. */
export function watchdogActs(host: Host): Host {
  const { verdict, directive } = host.agent.journal;
  if (verdict === 'passed' && directive?.trial == null) {
    const { runs } = host.machine;
    return { ...host, machine: { ...host.machine, runs, profile: runs, watchdog: 'off' }, verified: add(host.verified, runs) };
  }
  const back = host.agent.journal.before?.toplevel ?? host.machine.runs;
  return { ...host, machine: { ...host.machine, runs: back, watchdog: 'acted' } };
}

/** Its trial ends, by the time that the agent counts. */
export function endTrialByTime(host: Host, scene: Scene): Host {
  const { directive } = host.agent.journal;
  return directive === null ? host : dispatch(host, { type: 'trial-over', epoch: directive.epoch, detail: { code: TRIAL_OVER, message: '' } }, scene);
}

/** A user says "later", and then "now". */
export function defer(host: Host, scene: Scene): Host {
  const { directive } = host.agent.journal;
  if (directive === null) return host;
  const wait = { detail: { code: 'LATER', message: 'a user said "later"' }, until: null };
  return dispatch(host, { type: 'assessed', epoch: directive.epoch, impact: 'units', wait }, scene);
}

export function proceed(host: Host, scene: Scene): Host {
  const { directive } = host.agent.journal;
  return directive === null ? host : dispatch(host, { type: 'retry-due', epoch: directive.epoch }, scene);
}

/** A user switches by hand to the system that came with the machine. */
export function overrideByHand(host: Host, scene: Scene): Host {
  const old = systemOf(host.name, 0);
  const machine = { ...host.machine, runs: old, profile: old };
  return dispatch({ ...host, machine }, { type: 'overridden', override: { toplevel: old, since: NOW, by: 'switch' } }, scene);
}

/** The user lets the fleet have the machine again. */
export function follow(host: Host, scene: Scene): Host {
  return dispatch(host, { type: 'resumed' }, scene);
}
