import { disconnect, finishJob, follow, proceed, receive, restart, restartMachine } from './agent-side.ts';
import { fingerprint, keyOf } from './canonical.ts';
import { stopsOf } from './facts.ts';
import { answerProbe, askProbe, passSoak } from './outside.ts';
import { approve, isHeld, takeBack } from './people.ts';
import { answerReady, expire, look, publish, publishedIn, resumePause, storeReports } from './server-side.ts';
import type { Scene } from './scene.ts';
import { systemIn, systemOf, withHost, type Host, type State } from './state.ts';
import { retry, steer } from './told.ts';
import { heldBy, isUnapproved, whyOf } from './why.ts';

const MAX_ROUNDS = 60;

/** The newest revision is complete, and every host runs and boots it. */
function isDone({ hosts, newest, next, course }: State, scene: Scene): boolean {
  if (next !== undefined || newest + 1 < scene.revisions || course?.state !== 'COMPLETE') return false;
  return hosts.every((host) => [host.machine.runs, host.machine.profile].every((system) => system === systemIn(newest, host, scene)));
}

/** People let it have nothing of the rollout: nobody restarts it meanwhile, to see what it would start. A hold, and the way back, stay. */
function isStoodStill(state: State, host: Host, scene: Scene): boolean {
  const { held, permitted, directed, stable, ordered } = host.row;
  const isOfRollout = held === undefined && permitted === undefined && directed !== stable;
  const isOrdered = directed !== undefined && ordered.includes(systemOf(host.name, directed));
  return isOfRollout && (state.isFrozen || stopsOf(state, host, scene).length > 0 || isOrdered);
}

/** What the host does when nothing is lost any more. */
function advance(before: State, name: Host['name'], scene: Scene): State {
  let state = before;
  const find = (): Host => {
    const host = state.hosts.find((each) => each.name === name);
    if (host === undefined) throw new RangeError(`no host ${name}`);
    return host;
  };
  const set = (host: Host): void => void (state = withHost(state, host));
  if (!find().agent.isRunning) set(restart(find(), false, scene));
  if (find().agent.journal.override !== null) set(follow(find(), scene));
  if (find().session === undefined) set({ ...find(), session: { offered: 0 } });
  set(storeReports(find()));
  set(steer(state, find(), scene));
  for (const message of find().down) set(receive({ ...find(), down: find().down.filter((each) => each !== message) }, message, scene));
  if (find().agent.wait === 'conditions') set(proceed(find(), scene));
  if (find().agent.wait === 'restart' && !isStoodStill(state, find(), scene)) set(restartMachine(find(), scene));
  const { agent } = find();
  if (agent.job !== undefined) set(finishJob(find(), scene));
  if (find().agent.wait === 'ask') {
    set(storeReports(find()));
    state = answerReady(state, find(), find().agent.journal.directive?.epoch ?? 0, scene);
  }
  return state;
}

/**
 * From here on nothing is lost, nobody crashes, and people do what only they can: they publish what is left, take back what they decided,
 * resume, and retry a host that failed with the good revision. All that was on its way is lost first. Returns what is wrong when that does
 * not lead to the end. `known` keeps what is already known to.
 */
export function endsWell(from: State, scene: Scene, known: Set<number>): string | undefined {
  const path: number[] = [];
  const taken = takeBack(from);
  let state: State = { ...taken, probe: { ...taken.probe, asked: undefined }, hosts: taken.hosts.map(disconnect) };
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const fingerprinted = fingerprint(keyOf(state));
    if (known.has(fingerprinted) || isDone(state, scene)) {
      for (const each of [...path, fingerprinted]) known.add(each);
      return undefined;
    }
    path.push(fingerprinted);
    state = oneRound(approve(state, 'bob') ?? state, scene);
  }
  return 'from here the newest good revision does not reach everyone';
}

/**
 * The same, but nobody takes back what they decided. In the end each host has the newest revision, or is told what a person decided that
 * keeps it from that; and nobody else is kept. Returns what is wrong.
 */
export function standsWell(from: State, scene: Scene, known: Set<number>): string | undefined {
  if (!isHeld(from, scene)) return undefined;
  const path: number[] = [];
  let state: State = { ...from, probe: { ...from.probe, asked: undefined }, hosts: from.hosts.map(disconnect) };
  let wrong: string | undefined;
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const fingerprinted = fingerprint(keyOf(state));
    const isOver = path.includes(fingerprinted);
    wrong = isOver ? wrongAtRest(state, scene) : undefined;
    if (known.has(fingerprinted) || (isOver && wrong === undefined)) {
      for (const each of path) known.add(each);
      return undefined;
    }
    if (isOver) return wrong;
    path.push(fingerprinted);
    state = oneRound(state, scene);
  }
  return 'O19: from here nothing comes to rest while a person holds it';
}

function wrongAtRest(state: State, scene: Scene): string | undefined {
  for (const host of state.hosts) {
    const { name, machine } = host;
    const newest = systemIn(state.newest, host, scene);
    const reasons = [
      ...heldBy(state, host, scene),
      ...(isUnapproved(state, host, scene) || isBehindFirst(state, host, scene) ? (['approval'] as const) : []),
      // Also on the newest one, before it had begun there.
      ...(host.row.held === undefined ? [] : (['hold'] as const)),
    ];
    const said = whyOf(state, host, scene).map(({ rule }) => rule);
    if (machine.staged === systemOf(name, host.row.directed ?? -1) && isStoodStill(state, host, scene))
      return `O24: a restart of ${name} brings what nobody lets it have`;
    if (machine.runs === newest && machine.profile === newest) {
      if (said.length > 0) return `O19: ${name} has the newest revision, and is told that it waits: ${said.join(', ')}`;
    } else if (reasons.length === 0) return `from here the newest good revision does not reach ${name}, which nobody holds (${said.join(', ')})`;
    else if (!reasons.some((each) => said.includes(each))) return `O19: ${name} is held by ${reasons.join(', ')}, and is told: ${said.join(', ')}`;
  }
  if (!state.isFrozen && !state.hosts.some((host) => isUnapproved(state, host, scene)) && state.course?.state !== 'COMPLETE')
    return `O3: what a person holds keeps the rollout ${state.course?.state ?? 'from its begin'}`;
  return undefined;
}

/** O10: its ring was skipped before the first one that changes, which waits for its approvals. */
function isBehindFirst({ course, hosts }: State, { name }: Host, { rings }: Scene): boolean {
  const ring = rings[hosts.findIndex((host) => host.name === name)] ?? 0;
  return course?.state === 'WAITING_APPROVAL' && course.provedRing === undefined && ring < course.ring;
}

function oneRound(before: State, scene: Scene): State {
  let state = publishedIn(before) + 1 < scene.revisions ? publish(before, scene) : before;
  for (const { name } of state.hosts) state = advance(state, name, scene);
  // Whoever failed with the good revision, or a stepping stone, because its agent was killed, say, is retried by an administrator.
  for (const host of state.hosts) {
    const tried = [state.newest, ...host.row.stones].map((revision) => systemIn(revision, host, scene));
    const system = tried.find((each) => host.row.quarantined.includes(each));
    if (system !== undefined && !host.row.isRetry) state = withHost(state, retry(host, system));
    else state = withHost(state, expire(host) ?? host);
  }
  state = look(state, scene);
  const { course } = state;
  if (course?.state === 'SOAKING') state = passSoak(state);
  const asked = askProbe(state, scene);
  if (asked !== undefined) state = answerProbe(asked, 'good');
  if (course?.state === 'PAUSED') state = resumePause(state, scene);
  // What waits for a train that nobody can finish waits for a day.
  return state.next === undefined ? state : { ...state, next: { ...state.next, isDue: true } };
}
