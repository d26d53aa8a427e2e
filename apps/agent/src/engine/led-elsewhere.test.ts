import { decide, ELSEWHERE_MS, isContactBack, SERVER_AWAY, SERVER_MISSED, type AgentJournal, type Contact, type Whereabouts } from '@floe/model';
import { systemClock } from '@floe/runtime';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FakeMachine } from '../test/fake-machine.ts';
import { directiveWith, journalWith, NOW, storePath } from '../test/fixtures.ts';
import { MissedServer } from './missed-server.ts';

// SPEC A19, for a machine that is carried from network to network after a switch, restarted, and has its clock set.

const OLD = storePath('old');
const NEW = storePath('new');
const MINUTE_MS = 60_000;
const LIMIT_MS = 30 * MINUTE_MS;
const LOOK_MS = 5 * MINUTE_MS;

/** The network in which the server was reached before the switch; one whose portal asks for a login; the same after it; none. */
type Network = 'home' | 'hotel' | 'logged-in' | 'none';
/** What the new system is like: good, or one that leads the machine to a stranger wherever somebody answers, for lack of a VPN, say. */
type System = 'good' | 'cut-off';

interface Stay {
  readonly network: Network;
  readonly awakeMs: number;
  /** Before it arrives. */
  readonly asleepMs: number;
  readonly isRestarted: boolean;
  /** By how much its clock is set there. */
  readonly setByMs: number;
}

const hours = (max: number) => fc.integer({ min: 0, max: max * 4 }).map((quarters) => quarters * 15 * MINUTE_MS);
const anyStay: fc.Arbitrary<Stay> = fc.record({
  network: fc.constantFrom<Network>('home', 'hotel', 'hotel', 'logged-in', 'none'),
  awakeMs: fc.oneof(hours(1), hours(14)),
  asleepMs: hours(20),
  isRestarted: fc.boolean(),
  setByMs: fc.constantFrom(0, 0, 0, 5 * MINUTE_MS, -5 * MINUTE_MS, 365 * ELSEWHERE_MS, -365 * ELSEWHERE_MS),
});
const anyStays = fc.array(anyStay, { minLength: 1, maxLength: 8 });

function contactIn(network: Network, system: System): Contact {
  if (network === 'none') return 'none';
  return network === 'hotel' || system === 'cut-off' ? 'elsewhere' : 'trusted';
}

function whereaboutsIn(network: Network): Whereabouts {
  if (network === 'none') return 'nowhere';
  return network === 'home' ? 'same-elsewhere' : 'other-elsewhere';
}

interface Outcome {
  readonly came: 'proved' | 'blamed' | 'not-blamed' | 'kept';
  readonly network: Network;
  /** Awake, in such networks, and without a break. */
  readonly missedMs: number;
  /** By the machine's clock. */
  readonly committedMs: number;
}

/** What comes of a system that was committed in the first network, in which somebody else answered. */
async function carried(system: System, stays: readonly Stay[], limitMs = LIMIT_MS): Promise<Outcome> {
  let [awakeMs, wallMs, network]: [number, number, Network] = [0, 0, 'hotel'];
  const machine = new FakeMachine();
  machine.valid.add(OLD);
  const started = (): MissedServer =>
    new MissedServer({
      clock: { ...systemClock, monotonic: () => awakeMs, now: () => NOW + wallMs },
      machine,
      limitMs,
      contact: () => (contactIn(network, system) === 'trusted' ? 'trusted' : 'away'),
      reach: async () => await Promise.resolve(false),
      whereabouts: async () => await Promise.resolve(whereaboutsIn(network)),
    });
  let missed = started();
  let journal: AgentJournal = journalWith({
    state: 'SUCCEEDED',
    since: NOW,
    directive: directiveWith(NEW),
    before: { toplevel: OLD, profile: OLD, failedUnits: [], serverUrl: null, cache: null },
    verdict: 'passed',
    detail: { code: SERVER_AWAY, message: 'this network does not lead to the server' },
  });
  let missedMs = 0;
  for (const stay of stays) {
    const isBreak = whereaboutsIn(stay.network) !== whereaboutsIn(network) || stay.isRestarted;
    ({ network } = stay);
    if (stay.isRestarted) missed = started();
    // So long what it found in the network before may count.
    awakeMs += MINUTE_MS;
    wallMs += MINUTE_MS + stay.asleepMs + stay.setByMs;
    missedMs = isBreak ? 0 : missedMs + MINUTE_MS;
    for (let leftMs = stay.awakeMs; ; leftMs -= LOOK_MS) {
      const event = await missed.look(journal);
      const where = { network, missedMs, committedMs: wallMs };
      if (event?.type === 'server-met') return { came: 'proved', ...where };
      if (event !== null) {
        journal = decide(journal, event, NOW + wallMs).journal;
        expect(journal).toMatchObject({ state: 'ROLLING_BACK', detail: { code: SERVER_MISSED } });
        const hasContact = isContactBack(contactIn(network, 'good'), { hadNetwork: true });
        const { quarantined } = decide(journal, { type: 'rolled-back', epoch: 3, tookMs: 1, hasContact }, NOW + wallMs).journal;
        return { came: quarantined.includes(NEW) ? 'blamed' : 'not-blamed', ...where };
      }
      if (leftMs <= 0) break;
      awakeMs += LOOK_MS;
      wallMs += LOOK_MS;
      missedMs += LOOK_MS;
    }
  }
  return { came: 'kept', network, missedMs, committedMs: wallMs };
}

test('A19: a good system is proved where the server answers, rolled back at most where strangers do, after a day, and never blamed', async () => {
  const came = new Set<string>();
  await fc.assert(
    fc.asyncProperty(anyStays, async (stays) => {
      const outcome = await carried('good', stays);
      came.add(outcome.came);
      expect(outcome.came).not.toBe('blamed');
      if (stays.some(({ network }) => contactIn(network, 'good') === 'trusted')) expect(outcome.came).not.toBe('kept');
      if (outcome.came !== 'not-blamed') return;
      expect(outcome.network).toBe('hotel');
      expect(outcome.missedMs).toBeGreaterThanOrEqual(LIMIT_MS);
      expect(Math.abs(outcome.committedMs)).toBeGreaterThanOrEqual(ELSEWHERE_MS);
    }),
    { numRuns: 500 },
  );
  expect([...came].toSorted()).toEqual(['kept', 'not-blamed', 'proved']);
});

test('A19: one that cuts the machine off is left after the limit at home, and a day after its commit elsewhere; blamed where the server answers', async () => {
  const came = new Set<string>();
  await fc.assert(
    fc.asyncProperty(anyStays, async (stays) => {
      const outcome = await carried('cut-off', stays);
      came.add(`${outcome.came} ${outcome.network}`);
      const { network, missedMs, committedMs } = outcome;
      const isDay = Math.abs(committedMs) >= ELSEWHERE_MS;
      const isDue = missedMs >= LIMIT_MS && network !== 'none' && (network === 'home' || isDay);
      // Neither before its time nor long after it: it looks every few minutes.
      expect(outcome.came === 'kept').toBe(!isDue);
      if (isDue) expect(outcome.came).toBe(network === 'hotel' ? 'not-blamed' : 'blamed');
      if (isDue && network === 'home') expect(missedMs).toBeLessThan(LIMIT_MS + LOOK_MS);
    }),
    { numRuns: 500 },
  );
  expect([...came].toSorted()).toEqual([
    'blamed home',
    'blamed logged-in',
    'kept home',
    'kept hotel',
    'kept logged-in',
    'kept none',
    'not-blamed hotel',
  ]);
});

test('A19: with serverLimitSeconds = 0 it is kept wherever it is carried', async () => {
  await fc.assert(
    fc.asyncProperty(anyStays, async (stays) => {
      expect((await carried('cut-off', stays, 0)).came).toBe('kept');
    }),
    { numRuns: 20 },
  );
});
