import type { AgentDirective, AgentImpact, AgentJournal, AgentWait, Deferral, StorePath } from '@floe/model';
import { AgentPolicy, DEFAULT_AGENT_POLICY } from '@floe/protocol';
import { createLogger } from '@floe/runtime';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import * as v from 'valibot';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allOf, busWith, INHIBITORS, LIST, METERED, sessionList, sessionProperties, type BusAnswers, type SessionChanges } from '../test/fake-bus.ts';
import { FakeMachine } from '../test/fake-machine.ts';
import { directiveWith, journalWith, storePath } from '../test/fixtures.ts';
import { ManualClock } from '../test/manual-clock.ts';
import { addPowerSupply } from '../test/power-supply.ts';
import { createConditions, type Conditions, type RebootJudgement } from './conditions.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** A Monday. */
const NOW = Date.UTC(2026, 10, 2, 12);
const OLD = storePath('old');
const NEW = storePath('new');
const NEWER = storePath('newer');
const DIRECTIVE = directiveWith(NEW);
const RETRY: AgentDirective = { ...DIRECTIVE, isRetry: true };
const FRESH: Deferral = { since: NOW, restartSince: null, laterCount: 0, laterUntil: null, isOverruled: false };
const OPEN = { cron: '0 11 * * *', durationMinutes: 120, timeZone: 'UTC' };
const CLOSED = { cron: '0 2 * * *', durationMinutes: 60, timeZone: 'UTC' };

/** What a switch says that it would do. */
const DRY = {
  none: 'would activate the configuration...\n',
  units: 'would activate the configuration...\nwould restart the following units: nginx.service\n',
  session: 'would activate the configuration...\nwould restart the following units: display-manager.service\n',
} as const;

type Policy = v.InferInput<typeof AgentPolicy>;
type Session = SessionChanges | 'nobody';

/** What the machine and its users are at. By default: nothing is known. */
interface Scene {
  readonly policy?: Policy;
  readonly does?: keyof typeof DRY;
  /** Percent, of a machine that is on its battery, or on its cable. */
  readonly battery?: number;
  readonly cable?: number;
  readonly isMetered?: boolean;
  readonly session?: Session;
}

const ADA: SessionChanges = {};
const LOCKED: SessionChanges = { LockedHint: ['b', true] };
const OVER_SSH: SessionChanges = { Remote: ['b', true], Type: ['s', 'tty'], Seat: ['(so)', ['', '/']] };
const idleFor = (minutes: number): SessionChanges => ({ IdleHint: ['b', true], IdleSinceHint: ['t', (NOW - minutes * MINUTE) * 1000] });

let root: string;
let machine: FakeMachine;
/** Of the log. */
let lines: Record<string, unknown>[];
/** What the bus was asked. */
let asked: string[];
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'floe-conditions-'));
  machine = new FakeMachine();
  machine.observed = { current: OLD, booted: OLD, profile: { generation: 1, toplevel: OLD } };
  lines = [];
  asked = [];
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

async function conditionsIn({ policy, does = 'units', battery, cable, isMetered, session }: Scene = {}): Promise<Conditions> {
  machine.dry = DRY[does];
  const charge = battery ?? cable;
  if (charge !== undefined) {
    const isOnCable = battery === undefined;
    await addPowerSupply(root, 'AC', { type: 'Mains', online: isOnCable ? '1' : '0' });
    await addPowerSupply(root, 'BAT0', { type: 'Battery', status: isOnCable ? 'Charging' : 'Discharging', capacity: `${charge}` });
  }
  const answers: BusAnswers = {
    ...(isMetered === undefined ? {} : { [METERED]: { type: 'u', data: isMetered ? 1 : 2 } }),
    ...(session === undefined
      ? {}
      : { [INHIBITORS]: { type: 'a(ssssuu)', data: [[]] }, [LIST]: session === 'nobody' ? sessionList() : sessionList('_32') }),
    ...(session === undefined || session === 'nobody' ? {} : { [allOf('_32')]: sessionProperties(session) }),
  };
  const bus = busWith(answers);
  return createConditions({
    machine,
    readPolicy: async () => await Promise.resolve(policy === undefined ? DEFAULT_AGENT_POLICY : v.parse(AgentPolicy, policy)),
    exec: async (file, args, options) => {
      asked.push(args.join(' '));
      return await bus(file, args, options);
    },
    env: {},
    clock: new ManualClock(),
    logger: createLogger({ level: 'debug', write: (line) => lines.push(v.parse(LogLine, line)) }),
    timeZone: () => 'Europe/Berlin',
    root,
  });
}
const LogLine = v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.unknown()));

/** What a directive that is downloaded is told: an impact, and what it waits for. */
async function assess(conditions: Conditions, journal: Partial<AgentJournal> = {}, directive = DIRECTIVE) {
  const signal = new AbortController().signal;
  return await conditions.assess(journalWith({ deferral: FRESH, directive, ...journal }), directive, NOW, signal);
}

const codeOf = (wait: AgentWait | null): string | null => wait?.detail.code ?? null;

describe('an activation', () => {
  const table: [string, Scene, string | null][] = [
    ['nothing known, by default', {}, null],
    ['a battery that is low, by default', { battery: 29 }, 'ON_BATTERY'],
    ['a battery with enough, by default', { battery: 30 }, null],
    ['a battery that is low, on its cable', { cable: 5 }, null],
    ['a battery that is low, and files alone change', { battery: 29, does: 'none' }, null],
    ['a full battery, and the cable needed', { battery: 100, policy: { minBatteryPercent: 101 } }, 'ON_BATTERY'],
    ['the cable, and the cable needed', { cable: 100, policy: { minBatteryPercent: 101 } }, null],
    ['an empty battery that does not matter', { battery: 1, policy: { minBatteryPercent: 0 } }, null],
    ['a metered line, by default', { isMetered: true }, null],
    ['a metered line that is waited for', { isMetered: true, policy: { metered: 'wait' } }, 'METERED'],
    ['a line that is not metered', { isMetered: false, policy: { metered: 'wait' } }, null],
    ['a line of which nobody knows', { policy: { metered: 'wait' } }, null],
    ['a person, whose session goes, by default', { session: ADA, does: 'session' }, 'SESSION_ACTIVE'],
    ['a person, whose session stays, by default', { session: ADA, does: 'units' }, null],
    ['a person, by wait-if-units', { session: ADA, does: 'units', policy: { session: 'wait-if-units' } }, 'SESSION_ACTIVE'],
    ['a person, whose session goes, by wait-if-units', { session: ADA, does: 'session', policy: { session: 'wait-if-units' } }, 'SESSION_ACTIVE'],
    ['a person, and files alone, by wait-if-units', { session: ADA, does: 'none', policy: { session: 'wait-if-units' } }, null],
    ['a person, whose session goes, by ignore', { session: ADA, does: 'session', policy: { session: 'ignore' } }, null],
    ['a locked session', { session: LOCKED, does: 'session' }, null],
    ['a person over SSH', { session: OVER_SSH, does: 'session' }, null],
    ['a session that is idle for as long as it takes', { session: idleFor(10), does: 'session' }, null],
    ['a session that is not', { session: idleFor(10), does: 'session', policy: { idleMinutes: 11 } }, 'SESSION_ACTIVE'],
    ['nobody', { session: 'nobody', does: 'session' }, null],
    ['a window that is closed', { policy: { windows: [CLOSED] } }, 'WINDOW_CLOSED'],
    ['a window that is open', { policy: { windows: [OPEN] } }, null],
  ];
  test.each(table)('with %s', async (_what, scene, code) => {
    const { impact, wait } = await assess(await conditionsIn(scene));
    expect([impact, codeOf(wait)]).toEqual([scene.does ?? 'units', code]);
  });

  test('that waits says for what, with times of the machine, and when looking again makes sense', async () => {
    const { wait } = await assess(await conditionsIn({ policy: { windows: [CLOSED], deadlineHours: 24 } }));
    expect(wait).toEqual({
      detail: {
        code: 'WINDOW_CLOSED',
        message: 'waits for the maintenance window (opens Tue 03:00 Europe/Berlin); goes ahead Tue 13:00 Europe/Berlin at the latest',
        wait: {
          what: 'switch',
          codes: ['WINDOW_CLOSED'],
          startsAt: Date.UTC(2026, 10, 3, 2),
          latestAt: Date.UTC(2026, 10, 3, 12),
          programs: [],
          laterLeft: 3,
        },
      },
      until: Date.UTC(2026, 10, 3, 2),
    });
  });

  const UNWELCOME: Scene = { battery: 5, isMetered: true, session: ADA, does: 'session', policy: { windows: [CLOSED], metered: 'wait' } };

  test("an administrator's retry goes ahead, whatever the conditions", async () => {
    expect(await assess(await conditionsIn(UNWELCOME), {}, RETRY)).toEqual({ impact: 'session', wait: null });
  });

  test("a person's “now” goes ahead, whatever the conditions", async () => {
    const deferral = { ...FRESH, isOverruled: true, laterUntil: NOW + HOUR };
    expect(await assess(await conditionsIn(UNWELCOME), { deferral })).toEqual({ impact: 'session', wait: null });
  });

  test('“later” holds also what changes files alone', async () => {
    const { wait } = await assess(await conditionsIn({ does: 'none' }), { deferral: { ...FRESH, laterCount: 1, laterUntil: NOW + HOUR } });
    expect(wait).toMatchObject({ detail: { code: 'LATER' }, until: NOW + HOUR });
  });

  test('the deadline goes ahead, and the log has what in spite of', async () => {
    const conditions = await conditionsIn(UNWELCOME);
    const since = NOW - 72 * HOUR;
    expect(codeOf((await assess(conditions, { deferral: { ...FRESH, since: since + 1 } })).wait)).toBe('WINDOW_CLOSED');
    expect(lines.filter(({ level }) => level === 'warn')).toEqual([]);
    expect(await assess(conditions, { deferral: { ...FRESH, since } })).toEqual({ impact: 'session', wait: null });
    expect(lines.filter(({ level }) => level === 'warn')).toEqual([
      expect.objectContaining({
        message: 'going ahead',
        because: expect.stringMatching(/^it waited until the deadline .*, although: .*window.*battery.*metered.*ada's session/),
      }),
    ]);
  });

  test('what goes ahead since nothing holds it is no warning', async () => {
    await assess(await conditionsIn());
    expect(lines.map(({ level }) => level)).toEqual(['info']);
  });

  test('each time the facts and the policy of now count', async () => {
    let policy: Policy = { minBatteryPercent: 30 };
    await addPowerSupply(root, 'BAT0', { type: 'Battery', status: 'Discharging', capacity: '50' });
    machine.dry = DRY.units;
    const conditions = createConditions({
      machine,
      readPolicy: async () => await Promise.resolve(v.parse(AgentPolicy, policy)),
      exec: busWith({}),
      env: {},
      clock: new ManualClock(),
      logger: createLogger({ level: 'error', write: () => undefined }),
      timeZone: () => 'UTC',
      root,
    });
    expect(codeOf((await assess(conditions)).wait)).toBeNull();
    policy = { minBatteryPercent: 60 };
    expect(codeOf((await assess(conditions)).wait)).toBe('ON_BATTERY');
    await writeFile(join(root, 'sys/devices/BAT0/capacity'), '61\n');
    expect(codeOf((await assess(conditions)).wait)).toBeNull();
  });
});

describe('the impact', () => {
  const questions = (): string[] => machine.log.filter((what) => what.startsWith('dry-activate'));

  test('is asked once per pair of systems, and again when the pair is another', async () => {
    const conditions = await conditionsIn({ does: 'session', session: ADA });
    for (let look = 0; look < 3; look += 1) expect((await assess(conditions)).impact).toBe('session');
    expect(questions()).toEqual([`dry-activate ${NEW}`]);

    machine.observed = { ...machine.observed, current: NEWER };
    machine.dry = DRY.units;
    expect((await assess(conditions)).impact).toBe('units');
    machine.observed = { ...machine.observed, booted: NEWER };
    machine.dry = DRY.none;
    expect((await assess(conditions)).impact).toBe('none');
    machine.dry = DRY.session;
    expect((await assess(conditions, {}, directiveWith(OLD))).impact).toBe('session');
    expect(questions()).toEqual([NEW, NEW, NEW, OLD].map((path) => `dry-activate ${path}`));
  });

  test('of a system that could not be asked is a guess, which the next look does not repeat', async () => {
    const conditions = await conditionsIn({ session: ADA });
    const stopped = new AbortController();
    const look = async () => await conditions.assess(journalWith({ deferral: FRESH }), DIRECTIVE, NOW, stopped.signal);
    // As where a newer directive stops the look, or a switch by hand has the lock.
    machine.dry = null;
    machine.before = async () => await Promise.resolve(stopped.abort());
    expect(await look()).toEqual({ impact: 'units', wait: null });

    machine.dry = DRY.session;
    const { impact, wait } = await assess(conditions);
    expect([impact, codeOf(wait)]).toEqual(['session', 'SESSION_ACTIVE']);
  });

  test('that only a restart settles stays so, whether or not the system could be asked', async () => {
    await mkdir(`${root}${NEW}`, { recursive: true });
    await writeFile(`${root}${NEW}/kernel-params`, 'quiet');
    const conditions = await conditionsIn();
    machine.dry = null;
    for (let look = 0; look < 2; look += 1) expect((await assess(conditions)).impact).toBe('reboot');
    expect(questions()).toHaveLength(1);
  });

  test('of what only a start puts in place is told apart', async () => {
    const system = async (path: StorePath, params: string): Promise<void> => {
      await mkdir(`${root}${path}`, { recursive: true });
      await writeFile(`${root}${path}/kernel-params`, params);
    };
    await system(OLD, 'quiet');
    await system(NEW, 'loglevel=7');
    const expected: { impact: AgentImpact; wait: null } = { impact: 'reboot', wait: null };
    // Nobody at the machine notices: the restart is what is theirs to decide.
    expect(await assess(await conditionsIn({ does: 'session', session: ADA }))).toEqual(expected);
    expect(lines).toEqual([expect.objectContaining({ impact: 'reboot', reason: 'only a reboot changes the kernel parameters' })]);
  });

  test('is found out also when nothing is waited for', async () => {
    const conditions = await conditionsIn({ does: 'session', session: ADA });
    expect(await assess(conditions, { deferral: null })).toEqual({ impact: 'session', wait: null });
  });
});

describe('a download', () => {
  const METERED_LINE: Scene = { isMetered: true, policy: { metered: 'wait' } };
  async function held(scene: Scene, journal: Partial<AgentJournal> = {}): Promise<AgentWait | null> {
    return await (await conditionsIn(scene)).holdDownload(journalWith({ directive: DIRECTIVE, ...journal }), NOW);
  }

  test.each<[string, Scene, string | null]>([
    ['a metered line, by default', { isMetered: true }, null],
    ['a metered line that is waited for', METERED_LINE, 'METERED'],
    ['a line that is not metered', { isMetered: false, policy: { metered: 'wait' } }, null],
    ['a line of which nobody knows', { policy: { metered: 'wait' } }, null],
    ['all else that an activation waits for', { battery: 1, session: ADA, does: 'session', policy: { windows: [CLOSED], metered: 'wait' } }, null],
  ])('with %s', async (_what, scene, code) => {
    expect(codeOf(await held(scene))).toBe(code);
  });

  test('that is held says until when, by its own beginning', async () => {
    const wait = (since: string) => ({
      detail: {
        code: 'METERED',
        message: `waits: on a metered connection; goes ahead ${since} Europe/Berlin at the latest`,
        wait: expect.objectContaining({ what: 'download', codes: ['METERED'], startsAt: null }) as object,
      },
      until: NOW + MINUTE,
    });
    expect(await held(METERED_LINE)).toEqual(wait('Thu 13:00'));
    expect(await held(METERED_LINE, { deferral: { ...FRESH, since: NOW - 24 * HOUR } })).toEqual(wait('Wed 13:00'));
  });

  test('is not held by “later”, which is about the switch', async () => {
    const later = { ...FRESH, laterCount: 1, laterUntil: NOW + HOUR };
    expect(await held({ policy: { metered: 'wait' } }, { deferral: later })).toBeNull();
  });

  test.each<[string, Partial<AgentJournal>]>([
    ["an administrator's retry", { directive: RETRY, deferral: FRESH }],
    ["a person's “now”", { deferral: { ...FRESH, isOverruled: true } }],
    ['the deadline', { deferral: { ...FRESH, since: NOW - 72 * HOUR } }],
  ])('goes ahead on %s', async (_what, journal) => {
    expect(await held(METERED_LINE, journal)).toBeNull();
  });

  test('asks nobody where the line does not matter', async () => {
    await held({ isMetered: true });
    expect(asked).toEqual([]);
  });
});

describe('a restart', () => {
  const idle: Policy = { reboot: { when: 'idle' } };
  const inWindow = (window: typeof OPEN, more: Policy = {}): Policy => ({ windows: [window], reboot: { when: 'window' }, ...more });
  async function judge(scene: Scene, journal: Partial<AgentJournal> = {}, isTimeKnown = true): Promise<RebootJudgement> {
    const staged = { state: 'BOOT_STAGED', since: NOW, directive: DIRECTIVE, deferral: { ...FRESH, restartSince: NOW } } as const;
    return await (await conditionsIn(scene)).mayReboot(journalWith({ ...staged, ...journal }), NOW, { isTimeKnown });
  }

  test.each<[string, Scene, string]>([
    ['nobody there, by default', { session: 'nobody' }, 'REBOOT_LEFT_TO_PEOPLE'],
    ['nobody there, by idle', { session: 'nobody', policy: idle }, 'due'],
    ['a person, by idle', { session: ADA, policy: idle }, 'SESSION_ACTIVE'],
    ['a person, by idle, whatever of sessions', { session: ADA, policy: { ...idle, session: 'ignore' } }, 'SESSION_ACTIVE'],
    ['a person over SSH, by idle', { session: OVER_SSH, policy: idle }, 'SESSION_ACTIVE'],
    ['a locked session, by idle', { session: LOCKED, policy: idle }, 'due'],
    ['a session that is idle, by idle', { session: idleFor(10), policy: idle }, 'due'],
    ['nobody who knows, by idle', { policy: idle }, 'SESSIONS_UNKNOWN'],
    ['a low battery, by idle', { session: 'nobody', battery: 10, policy: idle }, 'ON_BATTERY'],
    ['an open window, by window', { policy: inWindow(OPEN) }, 'due'],
    ['a closed window, by window', { session: 'nobody', policy: inWindow(CLOSED) }, 'WINDOW_CLOSED'],
    ['a closed window, by idle', { session: 'nobody', policy: { ...idle, windows: [CLOSED] } }, 'due'],
    ['a person in an open window', { session: ADA, policy: inWindow(OPEN) }, 'SESSION_ACTIVE'],
    ['a person who does not matter in an open window', { session: ADA, policy: inWindow(OPEN, { session: 'ignore' }) }, 'due'],
    ['no windows at all, by window', { session: 'nobody', policy: { reboot: { when: 'window' } } }, 'NO_WINDOWS'],
  ])('with %s', async (_what, scene, expected) => {
    const { isDue, detail } = await judge(scene);
    expect(isDue ? 'due' : detail.code).toBe(expected);
    if (isDue) expect(detail).toEqual({ code: 'RESTARTING', message: 'the policy of this machine allows it now' });
  });

  test('that is not due says what becomes of the system', async () => {
    expect((await judge({})).detail.message).toBe('the next start runs it; waits for somebody to restart the machine');
  });

  test('“later” holds it', async () => {
    const deferral = { ...FRESH, restartSince: NOW, laterCount: 1, laterUntil: NOW + HOUR };
    expect((await judge({ session: 'nobody', policy: idle }, { deferral })).detail.code).toBe('LATER');
  });

  test("a person's “now” is enough, whatever the policy", async () => {
    const deferral = { ...FRESH, restartSince: NOW, isOverruled: true };
    expect(await judge({ session: ADA, battery: 1 }, { deferral })).toMatchObject({ isDue: true, detail: { code: 'RESTARTING' } });
  });

  test("an administrator's retry is no word about a restart under somebody's hands", async () => {
    expect((await judge({ session: ADA, policy: idle }, { directive: RETRY })).detail.code).toBe('SESSION_ACTIVE');
  });

  const withDeadline: Scene = { session: ADA, policy: { reboot: { when: 'idle', deadlineHours: 24 } } };

  test('its deadline counts from when the first system began to wait for one, not from the newest, nor from the download', async () => {
    const staged = (restartSince: number): Partial<AgentJournal> => ({ since: NOW, deferral: { ...FRESH, since: NOW - 90 * HOUR, restartSince } });
    const waiting = await judge(withDeadline, staged(NOW - 24 * HOUR + 1));
    expect(waiting).toMatchObject({ isDue: false, detail: { message: expect.stringContaining('goes ahead Mon 13:00 Europe/Berlin at the latest') } });
  });

  test('goes ahead at its deadline, and says in spite of what', async () => {
    const deferral = { ...FRESH, restartSince: NOW - 24 * HOUR };
    expect(await judge(withDeadline, { deferral })).toEqual({
      isDue: true,
      detail: {
        code: 'RESTARTING',
        message: expect.stringMatching(/^it waited until the deadline \(Mon 13:00 Europe\/Berlin\), although: ada's session/),
      },
      until: null,
    });
  });

  test('does not trust a clock that may be years off with a deadline, only with what people left free', async () => {
    const deferral = { ...FRESH, restartSince: NOW - 24 * HOUR };
    expect(await judge(withDeadline, { deferral }, false)).toMatchObject({ isDue: false, detail: { code: 'TIME_UNKNOWN' } });
    expect((await judge({ policy: idle, session: 'nobody' }, {}, false)).isDue).toBe(true);
  });

  test.each<[string, Partial<AgentJournal>]>([
    ['a deferral without it', { deferral: { ...FRESH, since: NOW - 90 * HOUR } }],
    ['no deferral', { deferral: null }],
  ])('with %s it counts from when the system was staged', async (_what, { deferral = null }) => {
    expect((await judge(withDeadline, { deferral, since: NOW - 23 * HOUR })).isDue).toBe(false);
    expect((await judge(withDeadline, { deferral, since: NOW - 24 * HOUR })).isDue).toBe(true);
  });
});

test('what an administrator asks for now passes over windows, sessions and “later”, not over an empty battery', async () => {
  const urgent = { level: 'now', by: 'ada', reason: 'a hole in sshd', until: NOW + HOUR, noticedAt: null } as const;
  const policy: Policy = { windows: [CLOSED], session: 'wait-if-units', metered: 'wait', reboot: { when: 'window' } };
  const journal = { deferral: { ...FRESH, laterCount: 1, laterUntil: NOW + HOUR }, directive: { ...DIRECTIVE, urgent } };
  const waiting = await conditionsIn({ policy, session: ADA, isMetered: true });
  expect(codeOf((await assess(waiting, journal)).wait)).toBe('LATER');
  expect(codeOf((await assess(waiting, journal, journal.directive)).wait)).toBeNull();
  expect(await waiting.holdDownload(journalWith(journal), NOW)).toBeNull();
  expect((await waiting.mayReboot(journalWith(journal), NOW, { isTimeKnown: true })).detail.code).toBe('SESSION_ACTIVE');
  const empty = await conditionsIn({ policy, battery: 5 });
  expect(codeOf((await assess(empty, journal, journal.directive)).wait)).toBe('ON_BATTERY');
});

test.each<[string, Session | undefined, boolean]>([
  ['a person at work', ADA, true],
  ['a locked session', LOCKED, true],
  ['a person over SSH', OVER_SSH, true],
  ['a login screen', { Class: ['s', 'greeter'] }, false],
  ['nobody', 'nobody', false],
  ['a bus that does not answer', undefined, false],
])('whether somebody is here, with %s', async (_what, session, expected) => {
  const conditions = await conditionsIn(session === undefined ? {} : { session });
  expect(await conditions.isSomeoneHere()).toBe(expected);
});
