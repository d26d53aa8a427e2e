import { decideRollout, isActivating, type RingHost, type StorePath } from '@floe/model';
import { wrongForPeople, wrongStepForPeople } from './invariants-of-people.ts';
import { factsOf } from './facts.ts';
import { NOW, type Scene } from './scene.ts';
import { revisionOf, systemIn, systemOf, type Host, type State } from './state.ts';

// What must hold in every state, and of every step. Each returns what is wrong, or undefined.

/** Changes now, in fact: its watchdog is armed, or its agent runs and has not finished. A trial holds no place until it ends, nor does its end. */
function isChanging({ agent, machine }: Host): boolean {
  const { state, directive, verdict, boot } = agent.journal;
  // A restart asks nobody for a place.
  if (boot !== null) return false;
  if (directive?.trial != null && (state === 'TRYING' || verdict === 'over')) return false;
  if (machine.watchdog === 'armed') return true;
  return agent.isRunning && isActivating(state) && state !== 'ROLLING_BACK' && machine.profile !== directive?.release.toplevel;
}

/** It checks the system that it started with, as the server knows. */
function isStarting({ agent, machine, session, row }: Host, toplevel: StorePath): boolean {
  const isSaid = session !== undefined && agent.queue.length === 0 && row.seen.state === 'BOOT_VERIFYING' && row.seen.subject === toplevel;
  return isSaid && agent.journal.state === 'BOOT_VERIFYING' && machine.watchdog === 'armed' && !row.quarantined.includes(toplevel);
}

export function wrongWith(state: State, scene: Scene): string | undefined {
  const { course, newest, hosts } = state;
  const isBad = (system: string | undefined): boolean => system !== undefined && scene.bad.has(revisionOf(system as never));
  const changing = hosts.filter(isChanging);
  if (changing.length > (scene.policy.maxInFlight ?? Infinity))
    return `O17: ${changing.map(({ name }) => name).join(' and ')} change at the same time`;
  for (const { name, machine } of hosts) if (isBad(machine.profile)) return `A4: ${name} boots a system that was never verified`;
  for (const { name, row } of hosts) if ((row.directed ?? 0) > newest) return `O13a: ${name} is told to run what waits for the train`;
  if (course === undefined) return undefined;
  const facts = factsOf(state, scene);
  for (const { host, progress, toplevel } of facts.hosts) {
    const fact = hosts.find(({ name }) => name === host);
    if (progress === 'failed' && fact !== undefined && isStarting(fact, toplevel))
      return `O11: ${host} counts as lost, and its watchdog has not acted`;
    if (progress === 'verified' && fact?.verified.includes(toplevel) !== true) return `O2: ${host} counts as verified, and is not`;
  }
  const decision = decideRollout(course, facts, NOW);
  // Who is asked with nobody else is asked late; one that is away when it is back.
  const isAsked = facts.hosts.some(({ isEligible, progress }) => isEligible && progress !== 'away' && progress !== 'waiting');
  if (decision.course.state === 'COMPLETE' && isAsked && hosts.every((host) => isBad(systemIn(newest, host, scene))))
    return 'O4: a revision that nobody could verify is complete';
  if (decision.course.state !== 'COMPLETE' && decideRollout(decision.course, facts, NOW).steps.length > 0)
    return 'O14: deciding again changes something';
  if (state.isFrozen && ['ROLLING', 'READY', 'SOAKING', 'WAITING_APPROVAL'].includes(decision.course.state)) return 'O13: a frozen rollout goes on';
  const { answers, isGoodAtEnd } = state.probe;
  const isProbing = decision.course.state === 'ROLLING' || decision.course.state === 'SOAKING';
  if (isProbing && answers.some((each) => each.ring === decision.course.ring && each.verdict === 'bad' && !each.isAcknowledged))
    return 'O25: the rollout goes on though its probe said no';
  for (const { event, from, to } of decision.steps) {
    const isLeft = event === 'soaked' || (event === 'finished' && from.state === 'SOAKING');
    if (isLeft && !isGoodAtEnd && (from.provedRing ?? from.ring) >= from.ring && scene.policy.rings.some(({ probes }) => probes.length > 0))
      return 'O25: a ring is left whose probe did not say, after the soak, that all is well';
    const [first] = hosts;
    const [canary] = facts.hosts;
    if (
      to.ring > from.ring &&
      event === 'soaked' &&
      canary?.isEligible === true &&
      !canary.isAcknowledged &&
      first?.verified.includes(canary.toplevel) !== true
    )
      return 'O9: the second ring begins without the first';
    const untried = event === 'soaked' ? untriedBefore(facts.hosts, from.ring, hosts) : undefined;
    if (untried !== undefined) return `O29: the next ring begins, and nobody has run what ${untried} gets`;
  }
  return wrongForPeople(state, scene);
}

/** A host of a later ring, whose commit hosts of the rings up to this one are asked to run, and none does. */
function untriedBefore(asked: readonly RingHost[], ring: number, hosts: readonly Host[]): string | undefined {
  const runs = ({ host, toplevel }: RingHost): boolean => hosts.some(({ name, verified }) => name === host && verified.includes(toplevel));
  const later = asked.filter((each) => each.ring > ring && each.isEligible && each.progress !== 'failed' && !runs(each));
  return later.find(({ change }) => {
    const before = asked.filter((each) => each.change === change && each.ring <= ring && each.isEligible && !each.isAcknowledged);
    return before.length > 0 && !asked.some((each) => each.change === change && runs(each));
  })?.host;
}

export function wrongStep(before: State, after: State, scene: Scene): string | undefined {
  for (const [index, host] of after.hosts.entries()) {
    const was = before.hosts[index];
    if (was === undefined) continue;
    const { name, row, agent } = host;
    if (agent.journal.epoch < was.agent.journal.epoch || row.epoch < was.row.epoch) return `A1: an epoch of ${name} falls`;
    const isBack = row.permitted === 'pin' ? row.directed === row.pinned : row.directed === row.stable && after.course?.state === 'ABORTED';
    if ((row.directed ?? -1) < (was.row.directed ?? -1) && !(row.permitted !== undefined && isBack)) return `D5: ${name} is told to go back`;
    if (row.directed !== undefined && row.directed < row.told && row.permitted === undefined)
      return `D7: ${name} is told what is below, without a permit`;
    if (row.isOnlyStaged !== was.row.isOnlyStaged && row.epoch === was.row.epoch) return `D2: ${name} is told otherwise in the same epoch`;
    if (row.directed !== was.row.directed) {
      if (row.epoch === was.row.epoch) return `D2: ${name} is told something else in the same epoch`;
      if (row.directed !== undefined && row.quarantined.includes(systemOf(name, row.directed)))
        return `D6: ${name} is told to run what it rolled back`;
    }
    if ((agent.journal.sequences[0]?.sequence ?? 0) < (was.agent.journal.sequences[0]?.sequence ?? 0)) return `A1: the sequence of ${name} falls`;
    const system = agent.journal.directive?.release.toplevel;
    const isStart = agent.journal.state === 'BOOT_VERIFYING' && was.agent.journal.state !== 'BOOT_VERIFYING';
    const isBegun = isStart || (agent.job === 'activate' && was.agent.job !== 'activate');
    if (!isBegun || system === undefined) continue;
    if (was.agent.journal.quarantined.includes(system)) return `A7: ${name} activates what it rolled back`;
    if (host.row.went === undefined) return `O18: ${name} changes without a place`;
    // Only a person's word (a resume, or what takes the canary out of its ring) lets a bad revision past the first ring.
    const words = ['resumes', 'overrides', 'holds', 'bans', 'stops', 'pins', 'trials'] as const;
    const isByPerson = words.some((each) => after.left[each] < scene.limits[each]);
    if ((scene.rings[index] ?? 0) > 0 && scene.bad.has(revisionOf(system)) && !isByPerson)
      return `O9: ${name} of the second ring gets a bad revision`;
  }
  return wrongStepForPeople(before, after, scene);
}
