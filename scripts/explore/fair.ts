import { finishJob, follow, proceed, receive, restart, disconnect } from './agent-side.ts';
import { fingerprint, keyOf } from './canonical.ts';
import { isHeld, takeBack } from './people.ts';
import { answerReady, expire, look, publish, publishedIn, resumePause, retry, steer, storeReports } from './server-side.ts';
import { NOW, SOAK_MS, type Scene } from './scene.ts';
import { systemOf, withHost, type Host, type State } from './state.ts';
import { heldBy, whyOf } from './why.ts';

const MAX_ROUNDS = 60;

/** The newest revision is complete, and every host runs and boots it. */
function isDone({ hosts, newest, next, course }: State, scene: Scene): boolean {
  if (next !== undefined || newest + 1 < scene.revisions || course?.state !== 'COMPLETE') return false;
  return hosts.every(({ name, machine }) => machine.runs === systemOf(name, newest) && machine.profile === systemOf(name, newest));
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
  let state: State = { ...taken, hosts: taken.hosts.map(disconnect) };
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const fingerprinted = fingerprint(keyOf(state));
    if (known.has(fingerprinted) || isDone(state, scene)) {
      for (const each of [...path, fingerprinted]) known.add(each);
      return undefined;
    }
    path.push(fingerprinted);
    state = oneRound(state, scene);
  }
  return 'from here the newest good revision does not reach everyone';
}

/**
 * The same, but nobody takes back what they decided. In the end each host has the newest revision, or is told what a person decided that
 * keeps it from that; and nobody else is kept. Returns what is wrong.
 */
export function standsWell(from: State, scene: Scene, known: Set<number>): string | undefined {
  if (!isHeld(from)) return undefined;
  const path: number[] = [];
  let state: State = { ...from, hosts: from.hosts.map(disconnect) };
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
    const newest = systemOf(name, state.newest);
    const reasons = heldBy(state, host, scene);
    const said = whyOf(state, host, scene).map(({ rule }) => rule);
    if (machine.runs === newest && machine.profile === newest) {
      if (said.length > 0) return `O19: ${name} has the newest revision, and is told that it waits: ${said.join(', ')}`;
    } else if (reasons.length === 0) return `from here the newest good revision does not reach ${name}, which nobody holds (${said.join(', ')})`;
    else if (!reasons.some((each) => said.includes(each))) return `O19: ${name} is held by ${reasons.join(', ')}, and is told: ${said.join(', ')}`;
  }
  if (!state.isFrozen && state.course?.state !== 'COMPLETE')
    return `O3: what a person holds keeps the rollout ${state.course?.state ?? 'from its begin'}`;
  return undefined;
}

function oneRound(before: State, scene: Scene): State {
  let state = publishedIn(before) + 1 < scene.revisions ? publish(before, scene) : before;
  for (const { name } of state.hosts) state = advance(state, name, scene);
  // Whoever failed with the good revision, because its agent was killed, say, is retried by an administrator.
  for (const host of state.hosts) {
    const system = systemOf(host.name, state.newest);
    if (host.row.quarantined.includes(system) && !host.row.isRetry) state = withHost(state, retry(host, system));
    else state = withHost(state, expire(host) ?? host);
  }
  state = look(state, scene);
  const { course } = state;
  if (course?.state === 'SOAKING') state = { ...state, course: { ...course, since: NOW - SOAK_MS } };
  if (course?.state === 'PAUSED') state = resumePause(state, scene);
  // What waits for a train that nobody can finish waits for a day.
  return state.next === undefined ? state : { ...state, next: { ...state.next, isDue: true } };
}
