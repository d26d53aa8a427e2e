import {
  AGENT_STATES,
  beginRollout,
  DEFAULT_POLICY,
  defaultGates,
  isFrozen,
  isRingPromoted,
  NO_ORDERS,
  resolve,
  REVISION_STATES,
  ROLLOUT_STATES,
  standingStops,
  type CommitSha,
  type HostName,
  type HostSituation,
  type ReleaseRef,
  type RolloutPause,
  type StorePath,
} from '@floe/model';
import type { Evaluation, FleetHost, HostRow, NextOfFleet, RevisionInList } from '@floe/store';
import { todoOfRollout } from '@floe/views';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { judgeResume as judgeHostResume, judgeRetry } from '../decisions.ts';
import { rolloutAt } from '../test/rollouts.ts';
import { rolloutFacts } from './facts.ts';
import { judgeAbort, judgeApproval, judgeHotfix, judgeResume, type AskedRollout } from './orders.ts';
import { viewDetail } from './view.ts';
import { viewWhy } from './why.ts';

// Whatever stands between a host and the newest commit: each command that the answer offers is one that the server takes then.

const NOW = 1_000_000;
const [old, newest, other] = ['old', 'newest', 'other'].map((name) => `/nix/store/${name.padEnd(32, '0')}-system` as StorePath) as [
  StorePath,
  StorePath,
  StorePath,
];
const on = (toplevel: StorePath) => ({ current: toplevel, booted: toplevel, profile: { generation: 1, toplevel } });
const ADA = 'ada' as HostName;
const release = (sequence: number, toplevel: StorePath): ReleaseRef => ({ id: String(sequence), host: ADA, sequence, toplevel });
const SHA = 'c'.repeat(40) as CommitSha;
const NEXT = 'd'.repeat(40) as CommitSha;
const ORDER = { commit: SHA, sequence: 2, by: 'eve', reason: 'hangs', at: 0, isOfAll: false };
const STOP = { label: 'role=dns', by: 'eve', reason: 'moved', at: 1, until: undefined };
const FREEZE = { by: 'eve', reason: 'holidays', at: 1, until: undefined };
const PAUSES: readonly RolloutPause[] = [
  { cause: 'failures', count: 1, failures: [{ host: 'bob' as HostName, toplevel: newest, reason: 'no network' }] },
  { cause: 'after-ring' },
  { cause: 'freeze', by: 'eve', reason: 'holidays' },
];
const [first] = DEFAULT_POLICY.rings;
if (first === undefined) throw new Error('the default policy has a ring');
const POLICY = {
  ...DEFAULT_POLICY,
  rings: ['canary', 'all'].map((name, index) => ({
    ...first,
    ...defaultGates(index, 2),
    name,
    approvals: { count: 1, role: 'approver' as const, notAuthor: false },
  })),
};

const some = <Value>(...values: readonly Value[]) => fc.constantFrom(undefined, undefined, ...values);
const worlds = fc.record({
  enrolment: fc.constantFrom('enrolled', 'enrolled', 'enrolled', 'enrolled', 'none', 'revoked', 'cloned'),
  isConnected: fc.boolean(),
  observed: fc.constantFrom(old, newest, other).map(on),
  state: fc.constantFrom(...AGENT_STATES),
  subject: fc.constantFrom(old, newest, newest, other, undefined),
  isOverridden: fc.boolean(),
  isRetryPending: fc.boolean(),
  ring: fc.nat(1),
  course: fc.record({ state: fc.constantFrom(...ROLLOUT_STATES), ring: fc.nat(1), pause: fc.constantFrom(...PAUSES) }),
  newestState: fc.constantFrom(...REVISION_STATES, 'PUBLISHED' as const, 'PUBLISHED' as const, 'PUBLISHED' as const),
  outcome: fc.constantFrom('CHANGED', 'CHANGED', 'CHANGED', 'UNCHANGED', 'EVAL_ERROR', 'BUILD_ERROR', 'REMOVED', 'NOT_OURS', 'NOT_BUILT_HERE'),
  isFrozen: fc.boolean(),
  isStopped: fc.boolean(),
  isNext: fc.boolean(),
  hasTwinFailed: fc.boolean(),
  /** Its name is not in the flake any more. */
  isTwinGone: fc.boolean(),
  rename: fc.constantFrom(undefined, undefined, undefined, 'to', 'from'),
  situation: fc.record({
    trial: some({ ...release(3, other), endsAt: 2 * NOW }),
    pin: some(release(1, old), release(3, other)),
    hold: some(release(2, newest), release(1, old)),
    stable: fc.constantFrom(undefined, release(1, old)),
    directed: fc.constantFrom(undefined, release(1, old), release(2, newest), release(9, other)),
    stone: some({ ...release(1, other), name: 'agent-2' }),
    quarantined: fc.subarray([old, newest, other]).map((paths) => new Set(paths)),
    ordered: fc.subarray([old, newest]).map((paths) => new Map(paths.map((path) => [path, ORDER]))),
  }),
});
type World = typeof worlds extends fc.Arbitrary<infer Made> ? Made : never;

function hostOf(name: string, toplevel: StorePath, { situation, row }: { situation: HostSituation; row: Partial<HostRow> }): FleetHost {
  const host = name as HostName;
  const desired = resolve(situation);
  const stored = desired.kind === 'nothing' ? situation.directed : desired.release;
  const told = stored && { releaseId: stored.id, toplevel: stored.toplevel, sequence: stored.sequence, epoch: 3, since: 1 };
  return {
    row: {
      host,
      repositoryId: '1',
      publicKey: 'key',
      enrolledAt: 1,
      desired: told,
      epoch: 3,
      observed: on(toplevel),
      state: 'SUCCEEDED',
      stateToplevel: toplevel,
      isConnected: true,
      lastSeenAt: NOW,
      acceptedSequence: 0,
      reportSeq: 1,
      ...row,
    },
    situation,
    desired,
    quarantines: [...situation.quarantined].map((each) => ({ host, toplevel: each, reason: 'no network', at: 1 }) as never),
    acknowledged: new Set(),
    desiredCommit: undefined,
    pins: [situation.pin ?? [], situation.hold ?? []].flat().map(({ sequence }) => ({ sequence, commit: SHA }) as never),
  };
}

function worldOf(given: World) {
  const course = { ...beginRollout(0), ...given.course, pause: given.course.state === 'PAUSED' ? given.course.pause : undefined };
  const stops = given.isStopped ? [STOP] : [];
  const ringOf = (ring: number): Pick<HostSituation, 'isRingPromoted' | 'stops'> => ({ isRingPromoted: isRingPromoted(course, ring), stops });
  const situation: HostSituation = { ...ringOf(given.ring), rollout: release(2, newest), ...given.situation };
  const publicKey = given.enrolment === 'none' ? undefined : 'key';
  const marks = { revokedAt: given.enrolment === 'revoked' ? 2 : undefined, clonedAt: given.enrolment === 'cloned' ? 2 : undefined };
  const ada = hostOf('ada', old, {
    situation,
    row: {
      publicKey,
      ...marks,
      isConnected: given.isConnected,
      observed: given.observed,
      state: given.state,
      stateToplevel: given.subject,
      retryEpoch: given.isRetryPending ? 3 : undefined,
      detail: given.isOverridden ? { code: 'LOCAL_OVERRIDE', message: 'its user went back' } : undefined,
    },
  });
  const asBob = { ...release(2, newest), host: 'bob' as HostName };
  const bob = hostOf('bob', old, {
    situation: {
      ...ringOf(0),
      pin: undefined,
      hold: undefined,
      rollout: given.isTwinGone ? undefined : asBob,
      stable: undefined,
      directed: asBob,
      quarantined: new Set(given.hasTwinFailed ? [newest] : []),
    },
    row: given.hasTwinFailed ? { state: 'ROLLED_BACK', stateToplevel: newest } : { state: 'SUCCEEDED', stateToplevel: newest, observed: on(newest) },
  });
  const named = hostOf('nova', old, {
    situation: { ...ringOf(1), pin: undefined, hold: undefined, rollout: undefined, stable: undefined, directed: undefined, quarantined: new Set() },
    row: given.rename === 'from' ? {} : { publicKey: undefined },
  });
  const rollout = rolloutAt(course, POLICY, {
    orders: { ...NO_ORDERS, freeze: given.isFrozen ? FREEZE : undefined, ...(stops.length === 0 ? {} : { stops }) },
    rings: new Map([
      [ADA, given.ring],
      ['bob' as HostName, 0],
    ]),
    people: { authors: ['zoe'], isUntold: false, unmapped: [], unmappedSigners: [], hasOtherAdministrator: true },
  });
  const train = { since: NOW, hasNews: true, isHotfix: false, superseded: { count: 3, since: 0 } };
  const next: NextOfFleet = { id: 'next', version: 1, revisionId: 'waiting', sha: NEXT, sequence: 3, after: SHA, orders: NO_ORDERS, ...train };
  const { outcome } = given;
  const mine = { host: ADA, outcome, toplevel: newest, error: outcome.endsWith('ERROR') ? 'it is broken' : undefined } as Evaluation;
  const evaluations = [
    ...(given.rename === 'to'
      ? [{ ...mine, outcome: 'REMOVED' as const }]
      : [{ ...mine, ...(given.rename === 'from' ? { formerHost: 'nova' as HostName } : {}) }]),
    ...(given.rename === 'to' ? [{ host: 'nova' as HostName, outcome: 'NEW', toplevel: newest, formerHost: ADA } as Evaluation] : []),
  ];
  const seen = given.isNext
    ? { id: 'waiting', sequence: 3, sha: NEXT, state: 'PUBLISHED' as const }
    : { id: 'revision', sequence: 2, sha: SHA, state: given.newestState };
  const fleet = { rollout, hosts: [ada, bob, named], next: given.isNext ? next : undefined };
  const why = viewWhy(ADA, {
    fleet,
    newest: seen as unknown as RevisionInList,
    evaluations,
    labelled: [],
    staged: new Map(),
    now: NOW,
  });
  const asked: AskedRollout = { sha: SHA, rollout, facts: rolloutFacts(rollout, fleet.hosts, NOW), next: fleet.next };
  const view = { state: rollout.state, ...viewDetail(rollout, asked.facts, { now: NOW, staged: new Map(), hosts: fleet.hosts }) };
  return { ada, bob, named, evaluations, asked, seen, why: why ?? [], todo: todoOfRollout(SHA, view) ?? '' };
}

/** The commands in a sentence. */
function commandsIn(text: string): readonly string[] {
  return [...text.matchAll(/\bfloe [a-z]+(?: (?!or\b|and\b)[^\s,;:()]+)*/g)].map(([command]) => command);
}

const BY = { by: 'ada', person: 'ada', role: 'administrator', reason: 'because', at: NOW } as const;

/** What the server would say; undefined: it takes it. */
function refusalOf(command: string, { ada, bob, named, asked, seen, evaluations }: ReturnType<typeof worldOf>): string | undefined {
  const [, verb, ...rest] = command.replace(/ --reason "…"$/, '').split(' ');
  const line = rest.join(' ');
  const { row, desired, situation } = ada;
  const judged = (outcome: { readonly kind: string; readonly message?: string }): string | undefined =>
    outcome.kind === 'refused' || outcome.kind === 'nothing' || outcome.kind === 'repeat' ? (outcome.message ?? outcome.kind) : undefined;
  const unless = (isTaken: boolean, why: string): string | undefined => (isTaken ? undefined : why);
  switch (verb) {
    case 'revisions':
      return undefined;
    case 'enrol':
      return unless(line === 'ada', 'another host');
    case 'retry':
      if (line === 'bob') return judged(judgeRetry(bob.row, bob.desired, NOW));
      return (
        unless(line === 'ada', 'another host') ??
        (row.clonedAt !== undefined && row.revokedAt === undefined ? undefined : judged(judgeRetry(row, desired, NOW)))
      );
    case 'resume':
      return unless(line === 'ada', 'another host') ?? judged(judgeHostResume(row, desired));
    case 'unpin':
      return unless(line === 'ada' && (situation.pin ?? situation.hold) !== undefined, 'it is not pinned');
    case 'try':
      return unless(line === 'ada --end' && situation.trial !== undefined, 'it tries nothing');
    case 'quarantine':
      return unless(/^(?:ada|--all) c{10} --lift$/.test(line) && (situation.ordered?.size ?? 0) > 0, 'nobody ordered that');
    case 'evaluate':
      return unless(line === seen.sha.slice(0, 10), 'no such commit');
    case 'rename': {
      const [from, to] = rest;
      const isNamed = evaluations.some(({ host, formerHost }) => host === to && formerHost === from);
      const machine = from === 'ada' ? row : named.row;
      return unless(isNamed && machine.publicKey !== undefined && machine.revokedAt === undefined, 'there is no machine to rename');
    }
    case 'rollout':
      return rollout(line, asked);
    default:
      return `what is ${command}?`;
  }

  function rollout(what: string, of: AskedRollout): string | undefined {
    const { orders } = of.rollout;
    if (what === '') return undefined;
    const [word = '', id] = what.split(' --seen=');
    if (word === 'approve') {
      const ring = of.rollout.policy.rings[of.rollout.course.ring]?.name ?? '';
      return judged(judgeApproval(of, { commit: SHA, ring, seen: id }, BY));
    }
    if (word === 'resume') {
      if (isFrozen(orders, NOW)) return unless(id === undefined || Number(id) === orders.freeze?.at, 'another person has paused it');
      return judged(judgeResume(of, id === undefined ? undefined : Number(id)));
    }
    if (what === `resume --label ${STOP.label}`) return unless(standingStops(orders, NOW).length > 0, 'it is not paused');
    if (what === `abort ${SHA.slice(0, 10)}` || what === `abort ${SHA.slice(0, 10)} --revert`) return judged(judgeAbort(of, SHA));
    const commit = /^hotfix ([0-9a-f]{10})$/.exec(what)?.[1];
    if (commit !== undefined) return judged(judgeHotfix(of, [SHA, NEXT].find((each) => each.startsWith(commit)) ?? commit, BY));
    return `what is floe rollout ${what}?`;
  }
}

const OFFERED = [
  'floe enrol ada',
  'floe evaluate cccccccccc',
  'floe evaluate dddddddddd',
  'floe quarantine ada cccccccccc --lift',
  'floe rename ada nova',
  'floe rename nova ada',
  'floe resume ada',
  'floe retry ada',
  'floe revisions',
  'floe rollout',
  'floe rollout approve',
  'floe rollout hotfix dddddddddd',
  'floe rollout resume',
  'floe rollout resume --label role=dns',
  'floe try ada --end',
  'floe unpin ada',
];

function offersOf({ why }: ReturnType<typeof worldOf>): readonly string[] {
  return why.flatMap(({ end }) => commandsIn(end)).map((command) => command.replace(' --reason "…"', ''));
}

test('each command that it offers is taken, whatever the host and the rollout are at', () => {
  fc.assert(
    fc.property(worlds, (given) => {
      const world = worldOf(given);
      for (const { rule, text, end } of world.why)
        for (const command of commandsIn(end)) expect(refusalOf(command, world), `${rule}: ${text} → ${end}: ${command}`).toBeUndefined();
    }),
    { numRuns: 3_000 },
  );
});

test('each command that the pause of a rollout offers is taken, too', () => {
  const offered = new Set<string>();
  fc.assert(
    fc.property(worlds, (given) => {
      // One that paused for a freeze goes on with the next look after its end.
      const world = worldOf({ ...given, isFrozen: given.isFrozen || given.course.pause.cause === 'freeze' });
      for (const command of commandsIn(world.todo)) {
        offered.add(command.replace(' --reason "…"', ''));
        expect(refusalOf(command, world), `${world.todo}: ${command}`).toBeUndefined();
      }
    }),
    { numRuns: 1_000 },
  );
  expect(offered).toContain('floe retry bob');
});

test('the generator reaches each command', () => {
  const offered = new Set(fc.sample(worlds, { numRuns: 8_000, seed: 1 }).flatMap((given) => offersOf(worldOf(given))));
  expect([...offered].toSorted()).toEqual(OFFERED);
});

describe('a host that rolled the newest system back', () => {
  const [made] = fc.sample(worlds, { numRuns: 1, seed: 1 });
  if (made === undefined) throw new Error('there is one');
  const none = { trial: undefined, pin: undefined, hold: undefined, stone: undefined, ordered: new Map() };
  const rolledBack: World = {
    ...made,
    enrolment: 'enrolled',
    observed: on(old),
    state: 'ROLLED_BACK',
    subject: newest,
    isOverridden: false,
    isRetryPending: false,
    ring: 0,
    course: { state: 'ROLLING', ring: 0, pause: { cause: 'after-ring' } },
    newestState: 'PUBLISHED',
    outcome: 'CHANGED',
    isFrozen: false,
    isStopped: false,
    isNext: false,
    rename: undefined,
    situation: { ...none, stable: release(1, old), directed: release(2, newest), quarantined: new Set([newest]) },
  };

  test.each([
    ['is its turn', {}, ['floe retry ada']],
    ['was revoked', { enrolment: 'revoked' }, ['floe enrol ada']],
    ['has another ring before it', { ring: 1, situation: { ...rolledBack.situation, directed: release(1, old) } }, ['floe rollout']],
    ['tries another system', { situation: { ...rolledBack.situation, trial: { ...release(3, other), endsAt: 2 * NOW } } }, ['floe try ada --end']],
    ['is pinned elsewhere', { situation: { ...rolledBack.situation, pin: release(3, other) } }, ['floe unpin ada']],
  ] satisfies readonly [string, Partial<World>, readonly string[]][])('and %s', (_, changes, offered) => {
    expect(offersOf(worldOf({ ...rolledBack, ...changes }))).toEqual(offered);
  });
});
