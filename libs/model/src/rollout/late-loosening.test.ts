import fc from 'fast-check';
import { expect, test } from 'vitest';
import { factsOf, policyOf } from '../test/rollout-facts.ts';
import { mayLoosen, missingApprovals } from './approvals.ts';
import { beginRollout, type Approval, type RolloutCourse } from './course.ts';
import { decideRollout } from './decide.ts';
import type { Loosening, RolloutFacts } from './facts.ts';
import { isRingPromoted } from './table.ts';

// Hosts join a rollout whenever they are built, and some of them have moved. Whoever approves, approves what is there then: no host that
// moved is told the commit before an administrator, who may, approved that with this very host.

const RINGS = 3;
const PEOPLE = [
  { by: 'eve', role: 'administrator' },
  { by: 'bob', role: 'administrator' },
  { by: 'cyd', role: 'approver' },
] as const;

interface Joined {
  readonly ring: number;
  /** From which ring it moved. */
  readonly from: string | undefined;
  progress: 'to-come' | 'verified' | 'failed';
}

/** A rollout as the server leads it: it decides at each look, and hosts join the first ring that has not passed. */
class World {
  course: RolloutCourse = beginRollout(0);
  readonly hosts = new Map<string, Joined>();
  readonly approvals: Approval[] = [];
  /** The hosts that had moved when somebody approved who may. */
  readonly approved = new Set<string>();
  readonly told = new Set<string>();
  again = 0;
  #now = 1;
  #resume: RolloutFacts['orders']['resume'];

  readonly authors: readonly string[];
  readonly needed: readonly boolean[];

  constructor(authors: readonly string[], needed: readonly boolean[]) {
    this.authors = authors;
    this.needed = needed;
  }

  get facts(): RolloutFacts {
    const policy = policyOf(
      RINGS,
      this.needed.map((isNeeded) => ({ soakMs: 0, approvals: isNeeded ? { count: 1, role: 'approver', notAuthor: false } : undefined })),
    );
    const hosts = [...this.hosts].map(([host, { ring, progress }]) => `${host}:${ring} ${progress}`);
    const orders = { approvals: this.approvals, resume: this.#resume };
    const more = { authors: this.authors, hasOtherAdministrator: !this.authors.includes('bob'), weaker: this.#weaker() };
    return factsOf(policy, hosts, orders, { ...more, binds: [...this.hosts.keys()].join(' ') });
  }

  #weaker(): readonly Loosening[] {
    const moved = [...this.hosts].flatMap(([host, { from }]) => (from === undefined ? [] : [{ host, from }]));
    return [...Map.groupBy(moved, ({ from }) => from)].map(([from, all]) => {
      const names = all.map(({ host }) => host).toSorted();
      // As in a large fleet, the words do not name them all.
      return { text: `hosts from ring ${from}`, id: `${from}: ${names.join(' ')}` };
    });
  }

  look(): void {
    this.#now += 1;
    const { course, steps } = decideRollout(this.course, this.facts, this.#now);
    this.again += steps.filter(({ event, from }) => event === 'changed' && from.ring > (from.provedRing ?? from.ring)).length;
    this.course = course;
    for (const [host, { ring, from }] of this.hosts) if (from !== undefined && isRingPromoted(course, ring)) this.told.add(host);
  }

  join(host: string, ring: number, from: string | undefined): void {
    if (this.hosts.has(host)) return;
    const first = this.course.state === 'COMPLETE' ? 0 : this.course.ring;
    this.hosts.set(host, { ring: this.course.unapproved?.includes(ring) === true ? ring : Math.max(first, ring), from, progress: 'to-come' });
  }

  approve(who: number): void {
    const person = PEOPLE[who % PEOPLE.length] ?? PEOPLE[0];
    const { facts } = this;
    if (missingApprovals(this.course, facts) === undefined) return;
    const isHeard = mayLoosen(person, facts);
    const loosens = isHeard ? facts.weaker.map(({ id }) => id) : [];
    this.approvals.push({ ...person, ring: this.course.ring, reason: '', at: this.#now, binds: facts.binds, loosens });
    const isOther = !this.authors.includes(person.by) || this.authors.includes('bob');
    if (person.role !== 'administrator' || !isOther) return;
    for (const [moved, { from }] of this.hosts) if (from !== undefined) this.approved.add(moved);
  }

  run(host: string, progress: 'verified' | 'failed'): void {
    const joined = this.hosts.get(host);
    if (joined?.progress === 'to-come' && isRingPromoted(this.course, joined.ring)) joined.progress = progress;
  }

  resume(): void {
    this.#resume = { by: 'ann', role: 'operator', reason: '', at: this.#now, of: this.course.since };
  }
}

const anyHost = fc.constantFrom('h1', 'h2', 'h3', 'h4', 'h5', 'h6');
const anyStep = fc.oneof(
  { weight: 3, arbitrary: fc.tuple(fc.constant('join' as const), anyHost, fc.nat(RINGS - 1), fc.constantFrom(undefined, 'one', 'other')) },
  { weight: 5, arbitrary: fc.tuple(fc.constant('run' as const)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('fail' as const), anyHost) },
  { weight: 4, arbitrary: fc.tuple(fc.constant('approve' as const), fc.nat(2)) },
  { weight: 1, arbitrary: fc.tuple(fc.constant('resume' as const)) },
);

function take(world: World, step: typeof anyStep extends fc.Arbitrary<infer Step> ? Step : never): void {
  switch (step[0]) {
    case 'join':
      world.join(step[1], step[2], step[3]);
      return;
    case 'run':
      for (const host of world.hosts.keys()) world.run(host, 'verified');
      return;
    case 'fail':
      world.run(step[1], 'failed');
      return;
    case 'approve':
      world.approve(step[1]);
      return;
    case 'resume':
      world.resume();
  }
}

test('no host that moved is told a commit before an administrator, who may, approved that with this host, however late it joins', () => {
  const seen = { told: 0, again: 0 };
  fc.assert(
    fc.property(
      fc.constantFrom([], ['eve'], ['eve', 'bob']),
      fc.array(fc.boolean(), { minLength: RINGS, maxLength: RINGS }),
      fc.array(anyStep, { minLength: 10, maxLength: 40 }),
      (authors, needed, steps) => {
        const world = new World(authors, needed);
        for (const step of steps) {
          take(world, step);
          world.look();
          for (const host of world.told) expect(world.approved, `${host} is told in ${world.course.state}`).toContain(host);
        }
        seen.told += world.told.size;
        seen.again += world.again;
      },
    ),
    { numRuns: Math.max(3_000, fc.readConfigureGlobal().numRuns ?? 0) },
  );
  expect(seen.told).toBeGreaterThan(500);
  expect(seen.again).toBeGreaterThan(20);
});

test('an approval that is not for a loosening of now lets no host go on in a later ring, and one that is does', () => {
  const world = new World(['eve'], [false, false, false]);
  world.join('h1', 0, undefined);
  world.join('h2', 1, 'one');
  world.look();
  world.approve(1);
  world.look();
  world.run('h1', 'verified');
  world.look();
  expect([world.course.state, world.course.ring]).toEqual(['ROLLING', 1]);
  // In words it is the same.
  world.join('h3', 1, 'one');
  world.look();
  expect([world.course.state, isRingPromoted(world.course, 1)]).toEqual(['WAITING_APPROVAL', false]);
  expect(missingApprovals(world.course, world.facts)).toMatchObject({ count: 0, weaker: ['hosts from ring one'] });
  // Whoever pushed it does not approve it.
  world.approve(0);
  world.look();
  expect(world.course.state).toBe('WAITING_APPROVAL');
  world.approve(1);
  world.look();
  expect([world.course.state, world.course.ring]).toEqual(['ROLLING', 1]);
  // One without a move changes nothing.
  world.join('h4', 1, undefined);
  world.look();
  expect(world.course.state).toBe('ROLLING');
});
