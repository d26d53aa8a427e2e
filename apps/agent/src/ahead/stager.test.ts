import { FloeError, silentLogger } from '@floe/runtime';
import type { AgentJournal, AgentRelease, AgentWait, HostName, StorePath } from '@floe/model';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { FakeMachine } from '../test/fake-machine.ts';
import { directiveWith, HOST, journalWith, storePath } from '../test/fixtures.ts';
import { ManualClock } from '../test/manual-clock.ts';
import { until } from '../test/until.ts';
import { Stager } from './stager.ts';

const NEXT = storePath('next');
const NEWER = storePath('newer');
const MINUTE_MS = 60_000;
const DAY_MS = 24 * 60 * MINUTE_MS;

let clock: ManualClock;
let machine: FakeMachine;
let journal: AgentJournal;
let held: AgentWait | null;
let said: StorePath[];
let running: { stop: AbortController; ended: Promise<void> } | undefined;

beforeEach(() => {
  clock = new ManualClock();
  machine = new FakeMachine();
  machine.now = () => clock.now();
  journal = journalWith();
  held = null;
  said = [];
});
afterEach(async () => await end());

const release = (toplevel: StorePath, sequence = 8): AgentRelease => ({ ...directiveWith(toplevel).release, sequence });

function start(host = HOST): Stager {
  const stager = new Stager({
    host,
    machine,
    settings: { minFreeBytes: 1, substituters: [], cachePublicKeys: [], maxBytesPerSecond: undefined },
    journal: () => journal,
    holdDownload: async () => await Promise.resolve(held),
    onStaged: (toplevel) => said.push(toplevel),
    now: () => clock.now(),
    clock,
    logger: silentLogger,
    random: () => 0.5,
  });
  const stop = new AbortController();
  running = { stop, ended: stager.run(stop.signal) };
  return stager;
}

async function end(): Promise<void> {
  running?.stop.abort();
  await running?.ended;
  running = undefined;
}

/** A download that goes on until it is ended. */
function stall(): void {
  machine.before = async (_what, signal) =>
    await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('ended'))));
}

test('what is hinted at is downloaded, kept and said', async () => {
  const stager = start();
  stager.hint(release(NEXT), 0);
  await until(() => said.length === 1);
  expect([machine.log, said, machine.roots.get('ahead')?.path]).toEqual([[`stage ${NEXT}`], [NEXT], NEXT]);
});

test('said again on a new connection, it is answered at once and downloaded no second time', async () => {
  const stager = start();
  stager.hint(release(NEXT), 0);
  await until(() => said.length === 1);
  stager.hint(release(NEXT), 10 * MINUTE_MS);
  await until(() => said.length === 2);
  expect(machine.log).toEqual([`stage ${NEXT}`]);
});

test('the downloads of a fleet are spread evenly over the time that the hint names, and each host keeps its place', async () => {
  const begun: number[] = [];
  const count = 40;
  for (let index = 0; index < count; index += 1) {
    clock = new ManualClock();
    machine = new FakeMachine();
    said = [];
    const startedAt = clock.now();
    const stager = start(`ws${index}` as HostName);
    stager.hint(release(NEXT), 100 * MINUTE_MS);
    let passed = 0;
    for (; said.length === 0 && passed <= 100; passed += 1) {
      await clock.passed(MINUTE_MS);
      // A new connection does not let it wait again.
      if (passed % 7 === 0) stager.hint(release(NEXT), 100 * MINUTE_MS);
    }
    await until(() => said.length > 0);
    begun.push((clock.now() - startedAt) / MINUTE_MS);
    await end();
  }
  const quarters = [0, 1, 2, 3].map((quarter) => begun.filter((at) => at > quarter * 25 && at <= (quarter + 1) * 25).length);
  for (const some of quarters) expect(some).toBeGreaterThanOrEqual(4);
});

test('a newer hint takes the place of the older one, under way or done', async () => {
  const stager = start();
  stager.hint(release(NEXT), 0);
  await until(() => said.length === 1);
  stall();
  stager.hint(release(NEWER, 9), 0);
  await until(() => machine.log.includes(`stage ${NEWER}`));
  // One system at a time.
  expect(machine.roots.size).toBe(0);
  machine.before = async () => await Promise.resolve();
  stager.hint(release(storePath('newest'), 10), 0);
  await until(() => said.length === 2);
  expect([...machine.roots.values()].map(({ path }) => path)).toEqual([storePath('newest')]);
});

test('a directive comes first: it ends the download, and what is left goes on after it', async () => {
  stall();
  const stager = start();
  stager.hint(release(NEXT), 0);
  await until(() => machine.log.length === 1);
  journal = journalWith({ state: 'OFFERED', directive: directiveWith(storePath('stable')) });
  stager.looked();
  await stager.yield();
  machine.before = async () => await Promise.resolve();
  await clock.passed(DAY_MS / 24);
  expect(said).toEqual([]);
  journal = { ...journal, state: 'SUCCEEDED' };
  stager.looked();
  await until(() => said.length === 1);
  expect(machine.log).toEqual([`stage ${NEXT}`, `stage ${NEXT}`]);
});

test('what runs, was rolled back or is older than what was accepted is neither downloaded nor kept', async () => {
  const stager = start();
  stager.hint(release(NEXT), 0);
  await until(() => said.length === 1);
  // Kept until the directive is over: its own root comes before.
  journal = journalWith({ state: 'VERIFYING', directive: directiveWith(NEXT) });
  stager.looked();
  await clock.passed(0);
  expect(machine.roots.has('ahead')).toBe(true);
  journal = { ...journal, state: 'SUCCEEDED' };
  stager.looked();
  await until(() => !machine.roots.has('ahead'));
  const { repository, ref } = release(NEXT);
  journal = journalWith({ sequences: [{ repository, ref, sequence: 9 }], quarantined: [NEWER] });
  stager.hint(release(storePath('old'), 8), 0);
  await clock.passed(0);
  stager.hint(release(NEWER, 10), 0);
  await clock.passed(0);
  expect([machine.log, said]).toEqual([[`stage ${NEXT}`], [NEXT]]);
});

test('what was rolled back is not kept', async () => {
  await machine.keep('ahead', NEXT);
  journal = journalWith({ quarantined: [NEXT] });
  start();
  await until(() => machine.roots.size === 0);
});

test('a restart leaves what is kept; without a hint it ends after a week, with one it stays', async () => {
  await machine.keep('ahead', NEXT);
  const stager = start();
  for (let hours = 0; hours < 6 * 24; hours += 1) await clock.passed(60 * MINUTE_MS);
  expect(machine.roots.has('ahead')).toBe(true);
  machine.valid.add(NEXT);
  stager.hint(release(NEXT), 0);
  await until(() => said.length === 1);
  for (let hours = 0; hours < 6 * 24; hours += 1) await clock.passed(60 * MINUTE_MS);
  expect(machine.roots.has('ahead')).toBe(true);
  for (let hours = 0; hours < 2 * 24; hours += 1) await clock.passed(60 * MINUTE_MS);
  await until(() => !machine.roots.has('ahead'));
  expect(machine.log).toEqual([]);
});

test('on a metered connection and on a full disk it waits', async () => {
  held = { detail: { code: 'METERED', message: 'metered' }, until: null };
  const stager = start();
  stager.hint(release(NEXT), 0);
  await clock.passed(5 * MINUTE_MS);
  held = null;
  machine.free = 0;
  await clock.passed(5 * MINUTE_MS);
  expect(machine.log).toEqual([]);
  machine.free = 1e12;
  await clock.passed(5 * MINUTE_MS);
  await until(() => said.length === 1);
});

test('what fails is tried again, later each time; what cannot pass is left to the directive', async () => {
  let failures = 0;
  machine.before = async () => {
    failures += 1;
    if (failures <= 3) throw new FloeError('STORE_PATH_NOT_AVAILABLE', 'the cache does not have it', { retryable: true });
    return await Promise.resolve();
  };
  const stager = start();
  stager.hint(release(NEXT), 0);
  for (const minutes of [0.5, 1, 2]) await clock.passed(minutes * MINUTE_MS);
  await until(() => said.length === 1);
  expect(failures).toBe(4);
  machine.before = async () => await Promise.reject(new FloeError('STORE_PATH_TOO_LARGE', 'the cache lies', { retryable: false }));
  stager.hint(release(NEWER, 9), 0);
  await until(() => machine.log.includes(`stage ${NEWER}`));
  for (let hours = 0; hours < 10; hours += 1) await clock.passed(60 * MINUTE_MS);
  expect(machine.log.filter((what) => what === `stage ${NEWER}`)).toHaveLength(1);
});
