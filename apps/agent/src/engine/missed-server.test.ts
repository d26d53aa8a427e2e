import { decide, ELSEWHERE_MS, isOn, SERVER_AWAY, type AgentJournal, type NetworkBefore, type Whereabouts } from '@floe/model';
import { systemClock } from '@floe/runtime';
import { beforeEach, expect, test } from 'vitest';
import { FakeMachine } from '../test/fake-machine.ts';
import { directiveWith, journalWith, NOW, storePath } from '../test/fixtures.ts';
import type { ServerContact } from '../server/contact.ts';
import { MissedServer } from './missed-server.ts';

const OLD = storePath('old');
const NEW = storePath('new');
const LIMIT_MS = 1_800_000;

let passed: number;
let contact: ServerContact;
let isReached: boolean;
let where: Whereabouts;
let asked: (NetworkBefore | undefined)[];
let wallMs: number;
let machine: FakeMachine;
beforeEach(() => {
  passed = 0;
  contact = 'away';
  isReached = false;
  where = 'network';
  asked = [];
  wallMs = 0;
  machine = new FakeMachine();
  machine.valid.add(OLD);
});

function watch(limitMs = LIMIT_MS): MissedServer {
  return new MissedServer({
    clock: { ...systemClock, monotonic: () => passed, now: () => NOW + wallMs },
    machine,
    limitMs,
    contact: () => contact,
    reach: async () => await Promise.resolve(isReached),
    whereabouts: async (before) => {
      asked.push(before);
      return await Promise.resolve(where);
    },
  });
}

const kept = (changes: Partial<AgentJournal> = {}): AgentJournal =>
  journalWith({
    state: 'SUCCEEDED',
    directive: directiveWith(NEW),
    before: { toplevel: OLD, profile: OLD, failedUnits: [], serverUrl: null, cache: null },
    verdict: 'passed',
    detail: { code: SERVER_AWAY, message: 'judged by the local checks' },
    ...changes,
  });

test('a server that answers in time settles it', async () => {
  const own = watch();
  expect(await own.look(kept())).toBeNull();
  contact = 'trusted';
  const event = await own.look(kept());
  expect(event?.type).toBe('server-met');
  const { journal, effects } = decide(kept(), event ?? { type: 'drifted' }, NOW);
  expect(journal.detail).toBeNull();
  expect(effects.map(({ type }) => type)).toEqual(['report']);
  passed += 2 * LIMIT_MS;
  expect(await own.look(journal)).toBeNull();
});

test('one that is missed for too long has the previous system tried, which is kept from the garbage collector', async () => {
  const own = watch();
  await own.look(kept());
  passed += LIMIT_MS - 1;
  expect(await own.look(kept())).toBeNull();
  passed += 1;
  const event = await own.look(kept());
  expect(event).toMatchObject({ type: 'server-missed', detail: { code: 'SERVER_MISSED' } });
  expect(machine.roots.get('before')?.path).toBe(OLD);
  const { journal, effects } = decide(kept(), event ?? { type: 'drifted' }, NOW);
  expect(journal).toMatchObject({ state: 'ROLLING_BACK', verdict: 'no-contact' });
  expect(effects).toContainEqual({ type: 'start-job', job: 'roll-back' });
});

test.each([
  [30_000, 'for 30 s, '],
  [15 * 60_000, 'for 15 min, '],
])('a time of %i ms is told as it is', async (limitMs, words) => {
  const own = watch(limitMs);
  await own.look(kept());
  passed += limitMs;
  expect(await own.look(kept())).toMatchObject({ detail: { message: expect.stringContaining(words) as string } });
});

test('a server that is there, and is not believed, is missed; one that is silent proves nothing', async () => {
  const own = watch();
  contact = 'refused';
  expect(await own.look(kept())).toBeNull();
  passed += LIMIT_MS;
  expect(await own.look(kept())).toMatchObject({ type: 'server-missed' });
  contact = 'silent';
  for (let look = 0; look < 3; look += 1) {
    expect(await own.look(kept())).toBeNull();
    passed += LIMIT_MS;
  }
});

test('time without a network does not count, and a last try to connect is made', async () => {
  const own = watch();
  await own.look(kept());
  passed += LIMIT_MS / 2;
  where = 'nowhere';
  expect(await own.look(kept())).toBeNull();
  passed += LIMIT_MS / 2;
  where = 'network';
  // Seconds after the network came back: the server's next try to be reached may be a minute away.
  expect(await own.look(kept())).toBeNull();
  passed += LIMIT_MS;
  isReached = true;
  expect(await own.look(kept())).toBeNull();
  isReached = false;
  await own.look(kept());
  passed += LIMIT_MS;
  expect(await own.look(kept())).toMatchObject({ type: 'server-missed' });
});

const BEFORE = { toplevel: OLD, profile: OLD, failedUnits: [], serverUrl: null, cache: null };

test('where others answer in the network from before, they count as one that works does, and say so', async () => {
  const own = watch();
  where = 'same-elsewhere';
  const network = { proxy: null, routers: ['02:00:00:00:00:01'] };
  const journal = kept({ before: { ...BEFORE, network } });
  await own.look(journal);
  passed += LIMIT_MS - 1;
  expect(await own.look(journal)).toBeNull();
  passed += 1;
  expect(await own.look(journal)).toMatchObject({ detail: { code: 'SERVER_MISSED', message: expect.stringContaining('captive portal') as string } });
  expect(asked.every((before) => before === network)).toBe(true);
});

test('where others answer in another network, they count for nothing on the first day, and are asked seldom', async () => {
  const own = watch();
  where = 'other-elsewhere';
  await own.look(kept());
  passed += LIMIT_MS;
  const before = asked.length;
  for (let look = 0; look < 12; look += 1) {
    passed += 5_000;
    expect(await own.look(kept())).toBeNull();
  }
  expect(asked.length - before).toBeLessThanOrEqual(2);
  wallMs = ELSEWHERE_MS;
  // A moment in which the network leads there begins it again.
  where = 'network';
  passed += LIMIT_MS;
  expect(await own.look(kept())).toBeNull();
  where = 'other-elsewhere';
  passed += 60_000;
  expect(await own.look(kept())).toBeNull();
  passed += LIMIT_MS;
  expect(await own.look(kept())).toMatchObject({ type: 'server-missed' });
});

test.each([
  [true, 'ROLLED_BACK', [NEW]],
  // Nobody's fault: the new one is offered again once the server is there.
  [false, 'OFFERED', []],
])('the previous system decides (contact: %s)', (hasContact, state, quarantined) => {
  const missed = decide(kept(), { type: 'server-missed', epoch: 3, detail: { code: 'SERVER_MISSED', message: '' } }, NOW).journal;
  expect(decide(missed, { type: 'rolled-back', epoch: 3, tookMs: 1, hasContact }, NOW).journal).toMatchObject({ state, quarantined });
  expect(isOn({ current: OLD, booted: OLD, profile: null }, NEW)).toBe(false);
});

test.each<[string, () => void, Partial<AgentJournal>, number?]>([
  ['the network does not work', () => (where = 'nowhere'), {}],
  ['the previous system is gone', () => machine.valid.clear(), {}],
  ['there is none', () => undefined, { before: null }],
  ['somebody chose what runs', () => undefined, { override: { toplevel: OLD, since: 0, by: 'switch' } }],
  ['the server was met', () => undefined, { detail: null }],
  ['it may be away forever', () => undefined, {}, 0],
])('nothing is done where %s', async (_what, happens, changes, limitMs) => {
  const own = watch(limitMs);
  happens();
  for (let look = 0; look < 3; look += 1) {
    expect(await own.look(kept(changes))).toBeNull();
    passed += LIMIT_MS;
  }
});
