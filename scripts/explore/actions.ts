import { isEndedRollout, isTrialOpen } from '@floe/model';
import {
  applyJob,
  crash,
  defer,
  disconnect,
  endTrialByTime,
  finishJob,
  follow,
  overrideByHand,
  proceed,
  receive,
  restart,
  restartMachine,
  watchdogActs,
} from './agent-side.ts';
import { answerProbe, askProbe, passSoak } from './outside.ts';
import { deedsOf } from './people.ts';
import { answerReady, expire, look, publish, publishedIn, resumePause, storeReports } from './server-side.ts';
import { NOW, SOAK_MS, type Limits, type Scene } from './scene.ts';
import { withHost, type Host, type State } from './state.ts';
import { steer } from './told.ts';

/** Something that may happen next, in words that tell a story. */
export interface Action {
  readonly label: string;
  readonly to: State;
}

/** Everything that can happen in a state. */
export function actionsOf(state: State, scene: Scene): readonly Action[] {
  return [...ofFleet(state, scene), ...state.hosts.flatMap((host) => [...ofNetwork(state, host, scene), ...ofAgent(state, host, scene)])];
}

function spend(state: State, limit: keyof Limits): State {
  return { ...state, left: { ...state.left, [limit]: state.left[limit] - 1 } };
}

function ofFleet(state: State, scene: Scene): Action[] {
  const { course, left } = state;
  const actions: Action[] = [];
  const add = (label: string, to: State): void => void actions.push({ label, to });
  if (publishedIn(state) + 1 < scene.revisions) add(`revision ${publishedIn(state) + 1} is published`, publish(state, scene));
  if (state.next?.isDue === false) add('the train has gone on for a day', { ...state, next: { ...state.next, isDue: true } });
  const looked = look(state, scene);
  const told = looked.hosts.reduce((next, host) => withHost(next, bounded(steer(next, host, scene))), looked);
  if (told.hosts.some((host, index) => host !== state.hosts[index]) || looked !== state) add('the server looks, and tells whoever is there', told);
  if (course?.state === 'SOAKING' && course.since > NOW - SOAK_MS) add('the soak passes', passSoak(state));
  const asked = askProbe(state, scene);
  if (asked !== undefined) add('the probe is asked', asked);
  if (state.probe.asked !== undefined) {
    add('the probe says that all is well', answerProbe(state, 'good'));
    if (left.alarms > 0) {
      add('the probe says that something is wrong', answerProbe(spend(state, 'alarms'), 'bad'));
      add('the probe says nothing for long', answerProbe(spend(state, 'alarms'), 'unknown'));
    }
  }
  if (state.isFrozen) add('the freeze ends', { ...state, isFrozen: false });
  else if (left.freezes > 0) add('a person freezes the fleet', { ...spend(state, 'freezes'), isFrozen: true });
  if (course?.state === 'PAUSED' && left.resumes > 0 && state.resumeOf !== course.since)
    add('a person resumes', resumePause(spend(state, 'resumes'), scene));
  // Of the last one there is no newer that could be reached.
  if (left.aborts > 0 && course !== undefined && !isEndedRollout(course.state) && state.newest + 1 < scene.revisions)
    add('a person aborts, and wants the hosts back', { ...spend(state, 'aborts'), isReverted: true });
  for (const { label, to, spends } of deedsOf(state, scene))
    if (spends === undefined) add(label, to);
    else if (left[spends] > 0) add(label, spend(to, spends));
  if (left.serverCrashes > 0) {
    const killed = (from: State): State => ({
      ...spend(from, 'serverCrashes'),
      probe: { ...from.probe, asked: undefined },
      hosts: from.hosts.map(disconnect),
    });
    add('the server is killed, and starts', killed(state));
    if (looked !== state) add('the server looks, is killed before it tells anybody, and starts', killed(looked));
  }
  return actions;
}

/** Messages are lost by never arriving; the connection's end loses all of them. */
function ofNetwork(state: State, host: Host, scene: Scene): Action[] {
  const { name, down, up, session, agent } = host;
  const actions: Action[] = [];
  const add = (label: string, to: Host): void => void actions.push({ label: `${name}: ${label}`, to: withHost(state, to) });
  if (session === undefined) {
    if (agent.isRunning) add('connects', { ...host, session: { offered: 0 } });
  } else {
    add('loses its connection', disconnect(host));
    if (agent.queue.length > 0) add('its reports arrive', storeReports(host));
  }
  for (const message of down) {
    const what = message.type === 'go' ? `"go" of epoch ${message.epoch}` : `the directive of epoch ${message.epoch}`;
    const rest = down.filter((each) => each !== message);
    add(`${what} arrives`, receive({ ...host, down: rest }, message, scene));
    // On one connection nothing arrives twice: a directive is repeated by the server, a "ready" by the agent, a "go" as the answer to that.
    const again = message.type === 'go' ? host : receive(host, message, scene);
    if (again.agent !== host.agent) add(`${what} arrives, and will again`, again);
  }
  for (const epoch of up) {
    const rest = { ...host, up: up.filter((each) => each !== epoch) };
    actions.push({ label: `${name}: "ready" of epoch ${epoch} arrives`, to: answerReady(withHost(state, rest), rest, epoch, scene) });
    const again = answerReady(state, host, epoch, scene);
    if (again !== state) actions.push({ label: `${name}: "ready" of epoch ${epoch} arrives, and will again`, to: again });
  }
  const silent = expire(host);
  if (silent !== undefined) add('is silent past the time of its watchdog', silent);
  return actions;
}

/** Of each kind of message only the newest is still on its way. */
function bounded(host: Host): Host {
  return host.down.length > 2 ? { ...host, down: host.down.slice(-2) } : host;
}

function ofAgent(state: State, host: Host, scene: Scene): Action[] {
  const { name, agent, machine, session } = host;
  const { left } = state;
  const actions: Action[] = [];
  const add = (label: string, to: Host, from = state): void => void actions.push({ label: `${name}: ${label}`, to: withHost(from, to) });
  if (!agent.isRunning) {
    add('the agent starts', restart(host, false, scene));
    if (machine.watchdog === 'armed') add('the watchdog acts', watchdogActs(host));
    return actions;
  }
  const { journal, job, wait } = agent;
  if (job !== undefined) {
    add(`finishes to ${job}`, finishJob(host, scene));
    if (left.agentCrashes > 0 && applyJob(host) !== host)
      add(`the agent is killed when it has done "${job}"`, crash(applyJob(host), false), spend(state, 'agentCrashes'));
  }
  if (left.agentCrashes > 0 && (job !== undefined || wait !== undefined)) {
    add('the agent is killed', crash(host, false), spend(state, 'agentCrashes'));
    add('the machine loses power and starts again', restart(crash(host, true), true, scene), spend(state, 'agentCrashes'));
  }
  // What it asks comes behind its reports, on one connection.
  const epoch = journal.directive?.epoch ?? 0;
  if (wait === 'ask' && session !== undefined && !host.up.includes(epoch)) {
    const asks = { ...host, up: [...host.up, epoch].slice(-2) };
    add('asks for its "go"', scene.isReadyBehindReports ? storeReports(asks) : asks);
  }
  if (wait === 'ask' && left.laters > 0) add('a user says "later"', defer(host, scene), spend(state, 'laters'));
  if (wait === 'conditions') add('a user says "now"', proceed(host, scene));
  if (left.overrides > 0 && machine.runs === machine.profile && journal.override === null && job === undefined)
    add('a user switches to another system', overrideByHand(host, scene), spend(state, 'overrides'));
  if (machine.staged !== undefined) add('the machine is restarted', restartMachine(host, scene));
  if (isTrialOpen(journal)) add('the time of its trial is over', endTrialByTime(host, scene));
  if (journal.override !== null) add('the user follows the fleet again', follow(host, scene));
  return actions;
}
