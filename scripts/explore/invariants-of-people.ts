import { hasArrived, type RolloutCourse, type StorePath } from '@floe/model';
import type { Scene } from './scene.ts';
import { isKeptByPerson, reportedBy, ringOf, stopsOf } from './facts.ts';
import { changeOf, systemIn, systemOf, type Host, type State } from './state.ts';
import { heldBy, isUnapproved, whyOf } from './why.ts';

// What must hold of what people decide about hosts: written here once more, from SPEC.md, and not by what the model computes.

/** Hosts of the ring may begin with the rollout. */
function isTurnOf({ state, ring: at, provedRing }: RolloutCourse, ring: number): boolean {
  if (state === 'WAITING_APPROVAL' || state === 'READY') return ring < at && provedRing !== undefined;
  return ring <= at && (state === 'ROLLING' || state === 'SOAKING' || state === 'COMPLETE');
}

export function wrongForPeople(state: State, scene: Scene): string | undefined {
  for (const host of state.hosts) {
    if (state.course === undefined || hasArrived(reportedBy(host), systemIn(state.newest, host, scene))) continue;
    const reasons = heldBy(state, host, scene);
    if (reasons.length === 0) continue;
    const said = whyOf(state, host, scene).map(({ rule }) => rule);
    const missing = reasons.filter((each) => !said.includes(each));
    if (missing.length > 0) return `O19: ${host.name} is held by ${missing.join(', ')}, and is told: ${said.join(', ')}`;
  }
  return undefined;
}

export function wrongStepForPeople(before: State, after: State, scene: Scene): string | undefined {
  for (const [index, host] of after.hosts.entries()) {
    const was = before.hosts[index];
    if (was === undefined || was.row === host.row) continue;
    const wrong = wrongTold(before, was, host, scene) ?? wrongGo(after, was, host, scene) ?? wrongStable(after, was, host, scene);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

/** What it is told. */
function wrongTold(state: State, { row: was }: Host, host: Host, scene: Scene): string | undefined {
  const { name, row } = host;
  if (row.directed === undefined || row.directed === was.directed) return undefined;
  if (row.ordered.includes(systemOf(name, row.directed))) return `D6: ${name} is told to run what a person quarantined there`;
  const { pinned, held } = row;
  if (pinned !== undefined) return row.directed === pinned ? undefined : `D5: ${name} is told something else than what a person pinned it to`;
  if (held !== undefined && row.directed !== held) return `D5: ${name} is told something else than what a person holds it on`;
  if (held !== undefined) return was.pinned === undefined ? `D5: ${name} is told something new while a person holds it` : undefined;
  if (row.directed === changeOf(name, state.newest, scene) && isUnapproved(state, host, scene))
    return `O26: ${name} is told what nobody approved for its ring`;
  const stone = row.stones.find((each) => each < (row.directed ?? 0) && each >= was.told && !host.verified.includes(systemOf(name, each)));
  if (stone !== undefined) return `D9: ${name} is told what is beyond a stepping stone that it has not passed`;
  if (stopsOf(state, host, scene).length > 0) return `D11: ${name} is told something while a person stopped its label`;
  return undefined;
}

/** What it gets a `go` for. */
function wrongGo(state: State, { row: was }: Host, host: Host, scene: Scene): string | undefined {
  const { name, row } = host;
  if (row.went === undefined || row.went === was.went || row.went.isExpired) return undefined;
  const { toplevel } = row.went;
  if (row.ordered.includes(toplevel)) return `D6: ${name} gets a "go" for what a person quarantined there`;
  if (row.trial?.isEnded === false && toplevel === systemOf(name, row.trial.revision)) return undefined;
  if (row.pinned !== undefined && toplevel === systemOf(name, row.pinned)) return undefined;
  if (stopsOf(state, host, scene).length > 0 && row.held === undefined) return `D11: ${name} gets a "go" while a person stopped its label`;
  if (row.held !== undefined && toplevel === row.seen.profile) return undefined;
  // Nobody had one that was lost try again.
  const wasLost = was.went?.toplevel === toplevel && was.went.isExpired;
  return mayBegin(state, host, { toplevel, wasLost }, scene) ? undefined : `O18: ${name} gets a "go" for what it merely keeps`;
}

function mayBegin(
  state: State,
  host: Host,
  { toplevel, wasLost }: { readonly toplevel: StorePath; readonly wasLost: boolean },
  scene: Scene,
): boolean {
  const { course, newest } = state;
  const { name, row } = host;
  // A stepping stone was complete before.
  if ([row.stable, ...row.stones].some((each) => toplevel === systemOf(name, each))) return true;
  if (row.permitted === 'revert' && toplevel === systemOf(name, row.directed ?? -1)) return !state.isFrozen;
  if (isUnapproved(state, host, scene)) return false;
  if (course === undefined || state.isFrozen || toplevel !== systemIn(newest, host, scene) || stopsOf(state, host, scene).length > 0) return false;
  const failed = course.state === 'PAUSED' && course.pause?.cause === 'failures' ? course.pause.failures : [];
  return (!wasLost && failed.some((each) => each.host === name && each.toplevel === toplevel)) || isTurnOf(course, ringOf(state, host, scene));
}

/** What becomes stable for it. */
function wrongStable(state: State, { row: was }: Host, host: Host, scene: Scene): string | undefined {
  const { name, row, verified } = host;
  const system = systemOf(name, row.stable);
  if (row.stable === was.stable || verified.includes(system)) return undefined;
  if (row.stable < was.stable) return `O4: what is stable for ${name} falls`;
  // A person may have resumed after the failure of another host with it: one that is away is alone with its change.
  const isByPerson = scene.changes !== undefined && state.left.resumes < scene.limits.resumes;
  if (scene.bad.has(row.stable) && !isByPerson) return `O4: a bad revision is stable for ${name}`;
  if (row.ordered.includes(system)) return `D6: what a person quarantined on ${name} is stable for it`;
  if (isUnapproved(state, host, scene)) return `O26: ${name} has as stable what nobody approved for its ring`;
  return !isKeptByPerson(row) ? undefined : `O26: ${name} has as stable what it was not asked to run`;
}
