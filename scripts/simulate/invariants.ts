import type { HostName, RolloutPolicy, StorePath } from '@floe/model';
import { ringHosts, type CurrentRollout, type Fleet, type FleetHost } from '@floe/store';
import { assert } from './assert.ts';
import { DAY_HOURS } from './company-policy.ts';
import type { SimulatedHost } from './simulated-host.ts';
import type { SimulatedPeople } from './simulated-people.ts';
import type { SimulatedTrials } from './simulated-trials.ts';

/** What a simulation knows by itself, and not from the server. */
export interface Known {
  readonly people: SimulatedPeople;
  readonly trials: SimulatedTrials;
  readonly rollout: CurrentRollout | undefined;
  /** Its policy is weaker than that of the last complete one. */
  readonly loosens: boolean;
  readonly now: number;
}

/** A host is told something. */
export function checkDirective(host: SimulatedHost, { row, desired, situation }: FleetHost, { people, trials, rollout, loosens }: Known): void {
  if (desired.kind !== 'release') return;
  const { name, acceptedSequence, directed, ran } = host;
  const { toplevel, sequence } = desired.release;
  assert(!situation.quarantined.has(toplevel), `D6: ${name} is told to run what it rolled back`);
  assert(!people.isBanned(name, toplevel), `D6: ${name} is told to run what a person quarantined there`);
  if (desired.because === 'trial') return assert(trials.isAsked(host, toplevel), `D1: ${name} is told to try what nobody asks it to try now`);
  assert(!trials.isOpen(host), `D1: ${name} is told what the fleet has, though it is on trial`);
  const isBack = sequence < (row.desired?.sequence ?? 0) || sequence < acceptedSequence;
  const isReverted = desired.permit?.kind === 'revert' && people.hasReverted;
  assert(!isBack || isReverted, `D5: ${name} is told to go back`);
  assert(directed.size <= row.epoch + 1, `D2: ${name} has heard of ${directed.size} directives`);
  const isNews = row.desired?.releaseId !== desired.release.id;
  if (!isNews) return;
  assert(!people.isKept(host), `D1: ${name} is told something else, though a person keeps it where it is`);
  assert(!people.isStopped(host), `D11: ${name} is told something, though its label is stopped`);
  const { stone } = host;
  if (stone !== undefined && sequence > stone.sequence && toplevel !== stone.toplevel)
    assert(
      ran.has(stone.toplevel) || Math.max(host.told, row.desired?.sequence ?? 0) > stone.sequence,
      `D9: ${name} is told what is beyond a stepping stone that it has not run`,
    );
  const ring = rollout?.rings?.get(name);
  if (desired.because !== 'rollout' || rollout === undefined || ring === undefined) return;
  const needed = rollout.policy.rings[ring]?.approvals?.count ?? 0;
  const given = people.approved.get(rollout.id)?.get(ring)?.size ?? 0;
  assert(given >= needed, `O26: ${name} is told a commit that ${given} of ${needed} people approved for its ring`);
  assert(!loosens || people.loosened.has(rollout.id), `O10: ${name} is told a commit whose policy is weaker, which no administrator approved`);
}

/** A host gets its `go`. */
export function checkGo(host: SimulatedHost, stored: FleetHost | undefined, { people, trials, rollout, now }: Known): void {
  const { name } = host;
  const begins = host.journal.directive;
  if (begins?.trial != null) return assert(trials.isAsked(host, begins.release.toplevel), `O17: ${name} gets a go for a trial that is over`);
  assert(!trials.isOpen(host), `O18: ${name} gets a go for what the fleet has, though it is on trial`);
  if (stored?.desired.kind !== 'release' || people.isKept(host)) return;
  const { because, release } = stored.desired;
  assert(!people.isBanned(name, release.toplevel), `D6: ${name} gets a go for what a person quarantined there`);
  assert(!people.isStopped(host), `D11: ${name} gets a go, though its label is stopped`);
  assert(because !== 'rollout' || !people.isFrozen, `O18: ${name} gets a go, though the fleet is frozen`);
  const windows = rollout?.policy.rings[rollout.rings?.get(name) ?? 0]?.windows ?? [];
  const isHotfix = rollout?.orders.hotfix !== undefined;
  if (windows.length === 0 || isHotfix || (because !== 'rollout' && because !== 'stable')) return;
  const hour = localHour(host.timeZone, now);
  const isOpen = hour >= DAY_HOURS.from && hour < DAY_HOURS.from + DAY_HOURS.hours;
  assert(isOpen, `O18: ${name} gets a go at ${hour} o'clock of ${host.timeZone}, outside of its window`);
}

/** What the gates count of hosts is so, on the machines. */
export function checkCounts(
  { rollout, hosts }: Fleet,
  machines: (host: HostName) => SimulatedHost | undefined,
  trials: SimulatedTrials,
  now: number,
): void {
  if (rollout === undefined) return;
  const went = new Map(hosts.map(({ row }) => [row.host, row.went?.toplevel]));
  for (const { host, toplevel, progress, isEligible, isKept } of ringHosts(rollout, hosts, now)) {
    const machine = machines(host);
    if (machine === undefined) continue;
    assert(progress !== 'verified' || machine.committed.has(toplevel), `O2: ${host} counts as verified, and its agent never committed that`);
    if (!trials.isOpen(machine)) continue;
    assert(!isEligible, `O11: ${host} is on trial, and counts in a gate`);
    assert(
      // One that has a go and says nothing may run it (O6).
      isKept !== true || progress !== 'failed' || machine.rolledBack.has(toplevel) || machine.ran.has(toplevel) || went.get(host) === toplevel,
      `A12: ${host} fails by its trial`,
    );
  }
  for (const { row, situation } of hosts)
    for (const toplevel of situation.quarantined) {
      const machine = machines(row.host);
      assert(machine === undefined || machine.rolledBack.has(toplevel), `A12: ${row.host} counts as failed with what it never ran for the fleet`);
    }
}

/** What a host has with its `go`: since when, and the policy of the rollout that hosts followed then. */
export interface Place {
  readonly since: number;
  readonly policy: RolloutPolicy;
}

/** Of hosts with a `go` that holds. Who got the last one found the others there, under the limits of that moment: a commit may tighten them since. */
export function checkLimits(places: ReadonlyMap<SimulatedHost, Place>): void {
  const changing = [...places.keys()].filter(({ isChanging }) => isChanging);
  const lastOf = (hosts: readonly SimulatedHost[]): RolloutPolicy | undefined =>
    hosts.flatMap((host) => places.get(host) ?? []).toSorted((one, other) => other.since - one.since)[0]?.policy;
  const { maxInFlight = Infinity, budgets = [] } = lastOf(changing) ?? {};
  assert(changing.length <= maxInFlight, `O17: ${changing.length} hosts change at the same time, of at most ${maxInFlight}`);
  for (const { label } of budgets) {
    const some = changing.filter(({ labels }) => labels.includes(label));
    const { atMost = Infinity } = lastOf(some)?.budgets.find((budget) => budget.label === label) ?? {};
    assert(some.length <= atMost, `O17: ${some.map(({ name }) => name).join(' and ')} change at the same time, of at most ${atMost} of ${label}`);
  }
}

const clocks = new Map<string, Intl.DateTimeFormat>();

/** The hour that a clock there shows, whatever the engine makes of time zones. */
function localHour(timeZone: string, now: number): number {
  const clock = clocks.get(timeZone) ?? new Intl.DateTimeFormat('en-GB', { hour: '2-digit', hourCycle: 'h23', timeZone });
  clocks.set(timeZone, clock);
  return Number(clock.format(now));
}

/** A gate waits for it to run this commit: nobody saw it fail, nor is it kept from it by a stepping stone that failed there. */
export function hasToProve(
  { situation: { rollout, stone, quarantined }, acknowledged }: FleetHost,
  isOfCommit: (system: StorePath) => boolean,
): boolean {
  if (rollout === undefined || !isOfCommit(rollout.toplevel) || acknowledged.has(rollout.toplevel)) return false;
  return stone === undefined || !quarantined.has(stone.toplevel);
}

/** The first complete commit is a stepping stone, for whoever it was asked of. */
export function noteStones({ rollout, hosts }: Fleet, people: SimulatedPeople, machineOf: (host: HostName) => SimulatedHost | undefined): void {
  if (rollout === undefined) return;
  const { startedAt, course, rings } = rollout;
  for (const { row, situation } of hosts) {
    const machine = machineOf(row.host);
    const wasAsked = !people.wasKept(row.host, startedAt) && course.unapproved?.includes(rings?.get(row.host) ?? 0) !== true;
    if (wasAsked && machine !== undefined) machine.stone = situation.rollout;
  }
}
