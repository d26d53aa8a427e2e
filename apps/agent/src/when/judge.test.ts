import { URGENCIES, type Urgency } from '@floe/model';
import { AgentPolicy, IMPACTS, type Impact, type MaintenanceWindow } from '@floe/protocol';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import * as v from 'valibot';
import type { Inhibitor, UserSession } from './bus.ts';
import { correctDeferral, grantLater, type DeferralTimes } from './deferral.ts';
import type { MachineFacts } from './facts.ts';
import { judgeActivation, judgeDownload, judgeReboot, type Judgement } from './judge.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** A Monday. */
const NOW = Date.UTC(2026, 10, 2, 12);

const NOTHING_KNOWN: MachineFacts = { power: null, isMetered: null, sessions: null, inhibitors: null };
const FRESH: DeferralTimes = { since: NOW, laterCount: 0, laterUntil: null };

function policyOf(changes: v.InferInput<typeof AgentPolicy> = {}): AgentPolicy {
  return v.parse(AgentPolicy, changes);
}

function session(changes: Partial<UserSession> = {}): UserSession {
  return { user: 'Ada', seat: 'seat0', type: 'wayland', isRemote: false, isActive: true, isLocked: false, idleSince: null, ...changes };
}

interface Case {
  readonly policy?: v.InferInput<typeof AgentPolicy>;
  readonly impact?: Impact;
  readonly facts?: Partial<MachineFacts>;
  readonly deferral?: Partial<DeferralTimes>;
  readonly now?: number;
  readonly timeZone?: string;
}

function input({ policy = {}, facts = {}, deferral = {}, now = NOW, timeZone }: Case) {
  return {
    policy: policyOf(policy),
    // Logind says both, or nothing.
    facts: { ...NOTHING_KNOWN, ...(facts.sessions === undefined ? {} : { inhibitors: [] }), ...facts },
    deferral: { ...FRESH, ...deferral },
    now,
    ...(timeZone === undefined ? {} : { timeZone }),
  };
}

function judge(each: Case = {}): Judgement {
  return judgeActivation({ ...input(each), impact: each.impact ?? 'session' });
}

const CLEAR: Judgement = { kind: 'clear', because: null };
const TUESDAY_2: MaintenanceWindow = { cron: '0 2 * * tue', durationMinutes: 60, timeZone: 'Europe/Berlin' };

describe('an activation', () => {
  test('goes ahead when nothing is known and nothing asked for', () => {
    expect(judge()).toEqual(CLEAR);
  });

  test('waits for a window, and says when it opens in the zone of all its times', () => {
    expect(judge({ policy: { windows: [TUESDAY_2] }, impact: 'units' })).toEqual({
      kind: 'wait',
      code: 'WINDOW_CLOSED',
      message: 'waits for the maintenance window (opens Tue 01:00 UTC); goes ahead Thu 12:00 UTC at the latest',
      until: Date.UTC(2026, 10, 3, 1),
      deadlineAt: NOW + 72 * HOUR,
      facts: { codes: ['WINDOW_CLOSED'], startsAt: Date.UTC(2026, 10, 3, 1), latestAt: NOW + 72 * HOUR, programs: [], laterLeft: 3 },
    });
    expect(judge({ policy: { windows: [TUESDAY_2] }, now: Date.UTC(2026, 10, 3, 1, 30) })).toEqual(CLEAR);
  });

  test('a time that is more than a week off comes with its date', () => {
    const windows = [{ ...TUESDAY_2, cron: '0 2 24 12 *' }];
    expect(judge({ policy: { windows, deadlineHours: null } })).toMatchObject({
      message: 'waits for the maintenance window (opens Thu 24 Dec 2026 01:00 UTC)',
      deadlineAt: null,
    });
  });

  test.each([
    [{ isOnBattery: true, chargePercent: 23 }, 30, 'waits: on battery, below 30 %'],
    [{ isOnBattery: true, chargePercent: 29.5 }, 30, 'waits: on battery, below 30 %'],
    [{ isOnBattery: true, chargePercent: 30 }, 30, null],
    [{ isOnBattery: false, chargePercent: 5 }, 30, null],
    [{ isOnBattery: true, chargePercent: null }, 30, null],
    [{ isOnBattery: true, chargePercent: 1 }, 0, null],
    [{ isOnBattery: true, chargePercent: 100 }, 101, 'waits: on battery (external power needed)'],
    [{ isOnBattery: true, chargePercent: null }, 101, 'waits: on battery (external power needed)'],
    [{ isOnBattery: false, chargePercent: 100 }, 101, null],
    [null, 101, null],
  ])('with power %j and %d %% needed', (power, minBatteryPercent, message) => {
    const result = judge({ policy: { minBatteryPercent, deadlineHours: null }, facts: { power } });
    expect(result).toMatchObject(message === null ? CLEAR : { kind: 'wait', code: 'ON_BATTERY', message, until: NOW + MINUTE });
  });

  test.each([
    ['wait', true, 'wait'],
    ['wait', false, 'clear'],
    ['wait', null, 'clear'],
    ['ignore', true, 'clear'],
  ] as const)('with the policy %s for a metered connection, and metered %s', (metered, isMetered, kind) => {
    expect(judge({ policy: { metered }, facts: { isMetered } }).kind).toBe(kind);
  });

  test.each([
    ['ignore', 'session', null],
    ['wait-if-session', 'session', "waits: Ada's session would end (active on seat0)"],
    ['wait-if-session', 'units', null],
    ['wait-if-units', 'session', "waits: Ada's session would end (active on seat0)"],
    ['wait-if-units', 'units', 'waits: services would restart under Ada (active on seat0)'],
    ['wait-if-units', 'none', null],
    // It is for the next start alone: the restart is what waits for people.
    ['wait-if-units', 'reboot', null],
  ] as const)('with the policy %s for people and the impact %s', (policy, impact, message) => {
    const result = judge({ policy: { session: policy, deadlineHours: null }, impact, facts: { sessions: [session()] } });
    expect(result).toMatchObject(message === null ? CLEAR : { kind: 'wait', code: 'SESSION_ACTIVE', message });
  });

  test.each([
    ['locked', { isLocked: true }, false],
    ['idle for long enough', { idleSince: NOW - 10 * MINUTE }, false],
    ['idle for less', { idleSince: NOW - 10 * MINUTE + 1 }, true],
    ['idle since a time to come, by a clock that was set back', { idleSince: NOW + HOUR }, true],
    ['in the background', { isActive: false }, false],
    ['over SSH', { type: 'tty', seat: null, isRemote: true }, false],
    ['a remote desktop', { type: 'wayland', seat: null, isRemote: true }, true],
    ['a text console', { type: 'tty' }, true],
    ['a serial console', { type: 'tty', seat: null }, true],
  ])('a session that is %s', (_what, changes, holds) => {
    expect(judge({ facts: { sessions: [session(changes)] } }).kind).toBe(holds ? 'wait' : 'clear');
  });

  test('names every reason, the code being the first one, and waits for the last of them', () => {
    const result = judge({
      policy: { windows: [TUESDAY_2], metered: 'wait' },
      facts: { power: { isOnBattery: true, chargePercent: 9 }, isMetered: true, sessions: [session(), session({ user: 'Bob', seat: null })] },
      timeZone: 'Asia/Tokyo',
    });
    expect(result).toEqual({
      kind: 'wait',
      code: 'WINDOW_CLOSED',
      message:
        "waits for the maintenance window (opens Tue 10:00 Asia/Tokyo); on battery, below 30 %; on a metered connection; Ada's session would end (active on seat0), Bob's session would end (active without a seat); goes ahead Thu 21:00 Asia/Tokyo at the latest",
      until: Date.UTC(2026, 10, 3, 1),
      deadlineAt: NOW + 72 * HOUR,
      facts: {
        codes: ['WINDOW_CLOSED', 'ON_BATTERY', 'METERED', 'SESSION_ACTIVE'],
        startsAt: Date.UTC(2026, 10, 3, 1),
        latestAt: NOW + 72 * HOUR,
        programs: [],
        laterLeft: 3,
      },
    });
  });

  test('without any impact it waits for nothing but an explicit "later"', () => {
    const everything: Case = {
      impact: 'none',
      policy: { windows: [TUESDAY_2], metered: 'wait', minBatteryPercent: 101, session: 'wait-if-units' },
      facts: { power: { isOnBattery: true, chargePercent: 9 }, isMetered: true, sessions: [session()] },
    };
    expect(judge(everything)).toEqual(CLEAR);
    expect(judge({ ...everything, deferral: { laterCount: 1, laterUntil: NOW + HOUR } })).toMatchObject({
      kind: 'wait',
      code: 'LATER',
      message: 'waits: deferred until Mon 13:00 UTC by a user; goes ahead Thu 12:00 UTC at the latest',
      until: NOW + HOUR,
    });
  });

  test('a "later" counts for no more than the policy lets it, also when the policy is a new one', () => {
    const deferral = { laterCount: 2, laterUntil: NOW + 2 * HOUR };
    expect(judge({ deferral, policy: { later: { maxCount: 2 } } }).kind).toBe('wait');
    expect(judge({ deferral, policy: { later: { maxCount: 1 } } })).toEqual(CLEAR);
    expect(judge({ deferral, policy: { later: { maxMinutes: 60 } } })).toMatchObject({ kind: 'wait', until: NOW + HOUR });
  });

  test('goes ahead at the deadline, and says in spite of what', () => {
    const late: Case = { facts: { sessions: [session()] }, deferral: { since: NOW - 72 * HOUR, laterCount: 1, laterUntil: NOW + HOUR } };
    expect(judge(late)).toEqual({
      kind: 'clear',
      because:
        "it waited until the deadline (Mon 12:00 UTC), although: deferred until Mon 13:00 UTC by a user; Ada's session would end (active on seat0)",
    });
    expect(judge({ ...late, now: NOW - 1 })).toMatchObject({ kind: 'wait', until: NOW });
  });

  test('a clock that was set back is not a long wait, nor one without end', () => {
    const ahead: Case = {
      facts: { sessions: [session()] },
      deferral: { since: NOW + 365 * 24 * HOUR, laterCount: 1, laterUntil: NOW + 365 * 24 * HOUR },
    };
    expect(judge(ahead)).toMatchObject({ kind: 'wait', deadlineAt: NOW + 72 * HOUR });
    const { policy, deferral } = input(ahead);
    expect(correctDeferral({ policy, deferral, now: NOW })).toEqual({ since: NOW, laterCount: 1, laterUntil: NOW + 240 * MINUTE });
    expect(correctDeferral({ policy, deferral: FRESH, now: NOW })).toBe(FRESH);
  });

  test('windows with a mistake are told, and hold it up no longer than the deadline', () => {
    const windows = [{ ...TUESDAY_2, timeZone: 'Europe/Berln' }];
    const said = 'waits: no maintenance window can open: the maintenance window "0 2 * * tue" in Europe/Berln has a time zone that does not exist';
    expect(judge({ policy: { windows } })).toMatchObject({ kind: 'wait', code: 'WINDOWS_INVALID', message: expect.stringContaining(said) });
    expect(judge({ policy: { windows }, deferral: { since: NOW - 72 * HOUR } }).kind).toBe('clear');
    // Where the policy has no deadline, the usual one: the correction comes as a system, too.
    const forever = { windows, deadlineHours: null };
    expect(judge({ policy: forever })).toMatchObject({ kind: 'wait', until: NOW + 72 * HOUR, deadlineAt: null });
    expect(judge({ policy: forever, deferral: { since: NOW - 72 * HOUR } })).toEqual(CLEAR);
  });

  test('of several windows, the one with a mistake is told beside the one that is waited for', () => {
    const windows = [{ ...TUESDAY_2, cron: '0 25 * * *' }, TUESDAY_2];
    expect(judge({ policy: { windows } })).toMatchObject({
      code: 'WINDOW_CLOSED',
      message: expect.stringContaining('(opens Tue 01:00 UTC, but the maintenance window "0 25 * * *" in Europe/Berlin cannot be read'),
    });
  });
});

test('what an administrator asks for begins after a notice; with nobody there to read it, or with files alone to change, at once', () => {
  const urgent: Urgency = { level: 'soon', by: 'ada', reason: 'a hole in sshd', until: NOW + HOUR, noticedAt: null };
  const each = { ...input({ policy: { windows: [TUESDAY_2] }, facts: { sessions: [session()] } }), impact: 'units', urgent } as const;
  expect(judgeActivation(each)).toMatchObject({ kind: 'wait', code: 'ADMINISTRATOR_ASKS', until: NOW + 5 * MINUTE });
  const noticed = { ...urgent, noticedAt: NOW - 5 * MINUTE };
  expect(judgeActivation({ ...each, urgent: noticed })).toEqual(CLEAR);
  expect(judgeActivation({ ...each, facts: { ...each.facts, sessions: [] } })).toEqual(CLEAR);
  expect(judgeActivation({ ...each, impact: 'none' })).toEqual(CLEAR);
  expect(judgeActivation({ ...each, urgent: { ...urgent, level: 'now' } })).toEqual(CLEAR);
});

describe('a download', () => {
  test('waits for an end of the metered connection, until the deadline, and for nothing else', () => {
    const busy: Case = {
      policy: { windows: [TUESDAY_2], metered: 'wait' },
      facts: { power: { isOnBattery: true, chargePercent: 1 }, isMetered: true, sessions: [session()] },
      deferral: { laterCount: 1, laterUntil: NOW + HOUR },
    };
    expect(judgeDownload(input(busy))).toMatchObject({ kind: 'wait', code: 'METERED' });
    expect(judgeDownload(input({ ...busy, deferral: { since: NOW - 72 * HOUR } })).kind).toBe('clear');
    expect(judgeDownload(input({ ...busy, facts: { ...busy.facts, isMetered: false } }))).toEqual(CLEAR);
  });
});

describe('a reboot', () => {
  const idle = { reboot: { when: 'idle', deadlineHours: 24 } } as const;
  const window: v.InferInput<typeof AgentPolicy> = { reboot: { when: 'window' }, windows: [TUESDAY_2] };
  const nobody = { sessions: [] };

  test('is left to people by default, forever', () => {
    expect(judgeReboot(input({ deferral: { since: NOW - 1000 * HOUR } }))).toEqual({
      kind: 'wait',
      code: 'REBOOT_LEFT_TO_PEOPLE',
      message: 'waits for somebody to restart the machine',
      until: null,
      deadlineAt: null,
      facts: { codes: ['REBOOT_LEFT_TO_PEOPLE'], startsAt: null, latestAt: null, programs: [], laterLeft: 3 },
    });
  });

  test('that is left to people reminds them later, as often as the policy has it', () => {
    const at = (laterCount: number) => judgeReboot(input({ deferral: { laterCount, laterUntil: NOW + HOUR } }));
    expect(at(1)).toMatchObject({ until: null, facts: { codes: ['REBOOT_LEFT_TO_PEOPLE', 'LATER'], startsAt: NOW + HOUR, laterLeft: 2 } });
    expect(at(3)).toMatchObject({ facts: { laterLeft: 0 } });
  });

  test('is left to people until the deadline, if the policy has one', () => {
    const byDeadline = { reboot: { when: 'never', deadlineHours: 24 } } as const;
    expect(judgeReboot(input({ policy: byDeadline, facts: { sessions: [session()] } }))).toMatchObject({
      kind: 'wait',
      code: 'REBOOT_LEFT_TO_PEOPLE',
      message: 'waits for somebody to restart the machine; goes ahead Tue 12:00 UTC at the latest',
      until: NOW + 24 * HOUR,
      deadlineAt: NOW + 24 * HOUR,
    });
    expect(judgeReboot(input({ policy: byDeadline, deferral: { since: NOW - 24 * HOUR } })).kind).toBe('clear');
  });

  test('when idle: nobody may work on it, not over SSH either, and it must be known', () => {
    expect(judgeReboot(input({ policy: idle, facts: nobody }))).toEqual(CLEAR);
    const ssh = session({ type: 'tty', seat: null, isRemote: true });
    expect(judgeReboot(input({ policy: idle, facts: { sessions: [ssh] } }))).toMatchObject({
      code: 'SESSION_ACTIVE',
      message: "waits: Ada's session would end (active over the network); goes ahead Tue 12:00 UTC at the latest",
    });
    expect(judgeReboot(input({ policy: idle, facts: { sessions: [{ ...ssh, idleSince: NOW - HOUR }] } }))).toEqual(CLEAR);
    expect(judgeReboot(input({ policy: idle }))).toMatchObject({ kind: 'wait', code: 'SESSIONS_UNKNOWN' });
    expect(judgeReboot(input({ policy: idle, deferral: { since: NOW - 24 * HOUR } })).kind).toBe('clear');
  });

  test('in a window: only in one, and not while somebody works, unless the policy lets it', () => {
    const during = Date.UTC(2026, 10, 3, 1, 30);
    const facts = { sessions: [session()] };
    expect(judgeReboot(input({ policy: window, facts: nobody }))).toMatchObject({ kind: 'wait', code: 'WINDOW_CLOSED' });
    expect(judgeReboot(input({ policy: window, facts: nobody, now: during }))).toEqual(CLEAR);
    expect(judgeReboot(input({ policy: window, facts, now: during }))).toMatchObject({ kind: 'wait', code: 'SESSION_ACTIVE' });
    expect(judgeReboot(input({ policy: { ...window, session: 'ignore' }, facts, now: during }))).toEqual(CLEAR);
  });

  test('in a window that is not there or can never open, it is not any time', () => {
    expect(judgeReboot(input({ policy: { reboot: { when: 'window' } }, facts: nobody }))).toMatchObject({
      kind: 'wait',
      code: 'NO_WINDOWS',
      until: null,
    });
    const broken = { ...window, windows: [{ ...TUESDAY_2, cron: 'x x x x x' }], deadlineHours: null };
    expect(judgeReboot(input({ policy: broken, facts: nobody, deferral: { since: NOW - 1000 * HOUR } }))).toMatchObject({
      kind: 'wait',
      code: 'WINDOWS_INVALID',
    });
  });

  test('waits for power and for "later"', () => {
    const facts = { ...nobody, power: { isOnBattery: true, chargePercent: 12 } };
    expect(judgeReboot(input({ policy: idle, facts }))).toMatchObject({ kind: 'wait', code: 'ON_BATTERY' });
    expect(judgeReboot(input({ policy: idle, facts: nobody, deferral: { laterCount: 1, laterUntil: NOW + HOUR } }))).toMatchObject({ code: 'LATER' });
  });
});

describe('"later"', () => {
  function grant(requestedMinutes: number, more: Case = {}) {
    const { policy, deferral, now } = input(more);
    return grantLater({ policy, deferral, requestedMinutes, now });
  }

  test('is granted for as long as asked for, within the limits', () => {
    expect(grant(30)).toEqual({ kind: 'granted', deferral: { since: NOW, laterCount: 1, laterUntil: NOW + 30 * MINUTE }, until: NOW + 30 * MINUTE });
    expect(grant(10_000)).toMatchObject({ kind: 'granted', until: NOW + 240 * MINUTE });
    expect(grant(240, { deferral: { since: NOW - 71 * HOUR } })).toMatchObject({ kind: 'granted', until: NOW + HOUR });
  });

  test.each([
    ['LATER_NOT_OFFERED', 30, { policy: { later: { maxCount: 0 } } }],
    ['LATER_NOT_OFFERED', 30, { policy: { later: { maxMinutes: 0 } } }],
    ['LATER_USED_UP', 30, { deferral: { laterCount: 3 } }],
    ['LATER_PAST_DEADLINE', 30, { deferral: { since: NOW - 72 * HOUR } }],
    ['LATER_MALFORMED', 0, {}],
    ['LATER_MALFORMED', -5, {}],
    ['LATER_MALFORMED', Number.NaN, {}],
    ['LATER_MALFORMED', Infinity, {}],
  ])('is refused with %s', (code, minutes, more) => {
    expect(grant(minutes, more)).toMatchObject({ kind: 'refused', code, message: expect.stringMatching(/\w/) });
  });

  test('has no end in common with the deadline of an activation when it is a reboot that is put off', () => {
    const { policy, deferral } = input({ deferral: { since: NOW - 100 * HOUR } });
    expect(grantLater({ policy, deferral, requestedMinutes: 30, now: NOW, deadlineHours: null }).kind).toBe('granted');
  });
});

describe('whatever the policy and the machine', () => {
  const someWindow = fc.record({
    cron: fc.constantFrom('0 2 * * *', '30 2 * * sun', '*/15 * * * *', '0 0 29 2 *', '0 0 30 2 *', 'nonsense', '1 2 3 4 5 6'),
    durationMinutes: fc.integer({ min: 1, max: 600 }),
    timeZone: fc.constantFrom('UTC', 'Europe/Berlin', 'Australia/Lord_Howe', 'Nowhere/Else'),
  });
  const somePolicy = fc
    .record({
      windows: fc.array(someWindow, { maxLength: 3 }),
      minBatteryPercent: fc.integer({ min: 0, max: 101 }),
      metered: fc.constantFrom('ignore' as const, 'wait' as const),
      session: fc.constantFrom('ignore' as const, 'wait-if-session' as const, 'wait-if-units' as const),
      idleMinutes: fc.integer({ min: 0, max: 60 }),
      later: fc.record({ maxCount: fc.integer({ min: 0, max: 4 }), maxMinutes: fc.integer({ min: 0, max: 600 }) }),
      deadlineHours: fc.option(fc.integer({ min: 0, max: 100 })),
      reboot: fc.record({
        when: fc.constantFrom('never' as const, 'idle' as const, 'window' as const),
        deadlineHours: fc.option(fc.integer({ min: 0, max: 100 })),
        respectInhibitors: fc.boolean(),
      }),
    })
    .map(policyOf);
  const someSession = fc.record({
    user: fc.constantFrom('ada', 'bob'),
    seat: fc.option(fc.constant('seat0')),
    type: fc.constantFrom('wayland', 'tty', 'unspecified'),
    isRemote: fc.boolean(),
    isActive: fc.boolean(),
    isLocked: fc.boolean(),
    idleSince: fc.option(fc.integer({ min: NOW - 2 * HOUR, max: NOW + HOUR })),
  });
  const someInhibitor = fc.record({
    what: fc.subarray(['shutdown', 'sleep', 'idle', 'handle-lid-switch']),
    who: fc.constantFrom('Backup', 'Firefox'),
    why: fc.constantFrom('', 'busy'),
    mode: fc.constantFrom('block', 'block-weak', 'delay'),
  });
  const someFacts: fc.Arbitrary<MachineFacts> = fc.record({
    power: fc.option(fc.record({ isOnBattery: fc.boolean(), chargePercent: fc.option(fc.integer({ min: 0, max: 100 })) })),
    isMetered: fc.option(fc.boolean()),
    sessions: fc.option(fc.array(someSession, { maxLength: 3 })),
    inhibitors: fc.option(fc.array(someInhibitor, { maxLength: 3 })),
  });
  const someDeferral: fc.Arbitrary<DeferralTimes> = fc.record({
    since: fc.integer({ min: NOW - 200 * HOUR, max: NOW + 200 * HOUR }),
    laterCount: fc.integer({ min: 0, max: 5 }),
    laterUntil: fc.option(fc.integer({ min: NOW - 50 * HOUR, max: NOW + 50 * HOUR })),
  });
  const some = fc.record({
    policy: somePolicy,
    impact: fc.constantFrom(...IMPACTS),
    facts: someFacts,
    deferral: someDeferral,
    now: fc.constant(NOW),
  });
  type Some = typeof some extends fc.Arbitrary<infer T> ? T : never;
  const judges: Record<string, (each: Some & { readonly urgent?: Urgency }) => Judgement> = { judgeActivation, judgeReboot, judgeDownload };

  test.each(Object.entries(judges))('%s says why it waits and looks again at a time to come, by the deadline at the latest', (_name, judgeIt) => {
    fc.assert(
      fc.property(some, (each) => {
        const result = judgeIt(each);
        if (result.kind === 'clear') return;
        expect(result.message).toMatch(/^waits(?: for|:) \S/);
        expect(result.message).not.toMatch(/null|undefined|NaN|Invalid/);
        if (result.until !== null) expect(result.until).toBeGreaterThan(NOW);
        if (result.deadlineAt !== null) {
          expect(result.deadlineAt).toBeGreaterThan(NOW);
          expect(result.until).not.toBeNull();
          expect(result.until).toBeLessThanOrEqual(result.deadlineAt);
        }
        const { codes, startsAt, latestAt } = result.facts;
        expect(codes[0]).toBe(result.code);
        // Never promised: a time after the deadline, or a deadline that something outlives.
        expect(latestAt).toBe(result.message.endsWith('at the latest') ? result.deadlineAt : null);
        if (startsAt !== null) expect(startsAt).toBeGreaterThan(NOW);
        if (startsAt !== null && latestAt !== null) expect(startsAt).toBeLessThanOrEqual(latestAt);
      }),
    );
  });

  const someUrgency: fc.Arbitrary<Urgency> = fc.record({
    level: fc.constantFrom(...URGENCIES),
    by: fc.constant('ada'),
    reason: fc.constant('a hole in sshd'),
    until: fc.integer({ min: NOW + 1, max: NOW + 24 * HOUR }),
    noticedAt: fc.option(fc.integer({ min: NOW - HOUR, max: NOW + 365 * 24 * HOUR })),
  });

  test('what an administrator asks for waits for a notice of minutes and a battery, and for nothing else', () => {
    fc.assert(
      fc.property(some, someUrgency, (each, urgent) => {
        const result = judgeActivation({ ...each, urgent });
        expect(judgeDownload({ ...each, urgent }).kind).toBe('clear');
        if (result.kind === 'clear') return;
        expect(['ADMINISTRATOR_ASKS', 'ON_BATTERY']).toContain(result.code);
        expect(each.impact).not.toBe('none');
        if (urgent.level === 'now') expect(result.code).toBe('ON_BATTERY');
        if (result.code !== 'ADMINISTRATOR_ASKS') return;
        expect(result.message).toContain('your administrator asks for this update now (ada: a hole in sshd)');
        // However wrong a clock is or was.
        const told = { ...urgent, noticedAt: urgent.noticedAt ?? NOW };
        const inTenMinutes = judgeActivation({ ...each, facts: { ...each.facts, power: null }, urgent: told, now: NOW + 10 * MINUTE });
        if (urgent.until > NOW + 10 * MINUTE) expect(inTenMinutes.kind).toBe('clear');
      }),
    );
  });

  test('what an administrator asked for counts until its end, and nothing of it is left then', () => {
    fc.assert(
      fc.property(some, someUrgency, (each, urgent) => {
        for (const judgeIt of Object.values(judges)) expect(judgeIt({ ...each, urgent: { ...urgent, until: NOW } })).toEqual(judgeIt(each));
      }),
    );
  });

  test('a restart passes over windows and “later” when an administrator asks, and ends no session that the policy would not', () => {
    fc.assert(
      fc.property(some, someUrgency, (each, urgent) => {
        const result = judgeReboot({ ...each, urgent });
        const plain = judgeReboot(each);
        if (plain.kind === 'clear') expect(result.kind).toBe('clear');
        if (result.kind === 'wait')
          expect(['REBOOT_LEFT_TO_PEOPLE', 'ON_BATTERY', 'SESSIONS_UNKNOWN', 'INHIBITORS_UNKNOWN', 'SESSION_ACTIVE', 'INHIBITED']).toContain(
            result.code,
          );
      }),
    );
  });

  test('an activation never waits past the deadline, and before it only for a reason', () => {
    fc.assert(
      fc.property(some, fc.integer({ min: 0, max: 50 * HOUR }), (each, late) => {
        const { deadlineHours } = each.policy;
        fc.pre(deadlineHours !== null);
        const since = NOW - (deadlineHours ?? 0) * HOUR - late;
        expect(judgeActivation({ ...each, deferral: { ...each.deferral, since } }).kind).toBe('clear');
      }),
    );
  });

  test('the same answer at the time before which looking again makes no sense is not given for the same reasons of time', () => {
    fc.assert(
      fc.property(some, ({ policy, impact, deferral }) => {
        // Nothing is known of the machine: time is all that can be waited for.
        const first = judgeActivation({ policy, impact, facts: NOTHING_KNOWN, deferral, now: NOW });
        if (first.kind === 'clear' || first.until === null) return;
        const kept = correctDeferral({ policy, deferral, now: NOW });
        const again = judgeActivation({ policy, impact, facts: NOTHING_KNOWN, deferral: kept, now: first.until });
        if (again.kind === 'wait') expect(again.until ?? Infinity).toBeGreaterThan(first.until);
        const before = judgeActivation({ policy, impact, facts: NOTHING_KNOWN, deferral: kept, now: first.until - 1 });
        expect(before.kind).toBe('wait');
      }),
    );
  });

  test('a machine of which nothing is known waits for time alone', () => {
    fc.assert(
      fc.property(some, (each) => {
        const result = judgeActivation({ ...each, facts: NOTHING_KNOWN });
        if (result.kind === 'wait') expect(['LATER', 'WINDOW_CLOSED', 'WINDOWS_INVALID']).toContain(result.code);
      }),
    );
  });

  test('a block of a restart is waited for until the deadline, with its name said once, and beyond it where the policy respects it', () => {
    const blocks: Inhibitor = { what: ['idle', 'sleep', 'shutdown'], who: 'Backup of the disk', why: 'busy', mode: 'block' };
    fc.assert(
      fc.property(some, fc.option(someUrgency), (each, urgent) => {
        const facts = { ...each.facts, inhibitors: [...(each.facts.inhibitors ?? []), blocks] };
        const result = judgeReboot({ ...each, facts, ...(urgent === null ? {} : { urgent }) });
        const { deadlineHours, respectInhibitors } = each.policy.reboot;
        if (result.kind === 'clear') {
          expect(respectInhibitors).toBe(false);
          expect(deadlineHours).not.toBeNull();
          return;
        }
        expect(result.message.split('Backup of the disk: busy').length - 1).toBeLessThanOrEqual(1);
      }),
    );
  });

  test('where logind does not say which programs block a restart, it is not guessed until the deadline, nor beyond it where the policy respects them', () => {
    fc.assert(
      fc.property(some, fc.option(someUrgency), (each, urgent) => {
        fc.pre(each.facts.sessions !== null);
        const facts = { ...each.facts, inhibitors: null };
        const result = judgeReboot({ ...each, facts, ...(urgent === null ? {} : { urgent }) });
        if (result.kind === 'wait') return;
        expect([each.policy.reboot.respectInhibitors, each.policy.reboot.deadlineHours === null]).toEqual([false, false]);
        expect(result.because).not.toBeNull();
      }),
    );
  });

  test('less impact never waits where more does not', () => {
    const order: readonly Impact[] = ['none', 'units', 'session'];
    fc.assert(
      fc.property(some, (each) => {
        const kinds = order.map((impact) => judgeActivation({ ...each, impact }).kind);
        expect(kinds.toSorted((a, b) => (a === b ? 0 : a === 'clear' ? -1 : 1))).toEqual(kinds);
      }),
    );
  });

  test('"later" puts off and never hurries, is bounded in number, and ends', () => {
    fc.assert(
      fc.property(
        some,
        fc.array(fc.record({ minutes: fc.integer({ min: 1, max: 1000 }), pause: fc.integer({ min: 0, max: 600 }) }), { maxLength: 8 }),
        (each, asks) => {
          const { policy } = each;
          let deferral: DeferralTimes = { since: NOW, laterCount: 0, laterUntil: null };
          let now = NOW;
          let granted = 0;
          for (const { minutes, pause } of asks) {
            const without = judgeActivation({ ...each, deferral, now });
            const outcome = grantLater({ policy, deferral, requestedMinutes: minutes, now });
            if (outcome.kind === 'granted') {
              granted += 1;
              expect(outcome.until).toBeGreaterThan(now);
              expect(outcome.until).toBeLessThanOrEqual(now + policy.later.maxMinutes * MINUTE);
              if (policy.deadlineHours !== null) expect(outcome.until).toBeLessThanOrEqual(NOW + policy.deadlineHours * HOUR);
              deferral = outcome.deferral;
              const withIt = judgeActivation({ ...each, deferral, now });
              expect(withIt).toMatchObject({ kind: 'wait', code: 'LATER' });
              // Nothing but the "later" before, which the new one replaces, ends sooner by it.
              if (without.kind === 'wait' && without.code !== 'LATER' && withIt.kind === 'wait') {
                expect(withIt.until ?? Infinity).toBeGreaterThanOrEqual(without.until ?? Infinity);
              }
            }
            now += pause * MINUTE;
          }
          expect(granted).toBeLessThanOrEqual(policy.later.maxCount);
          const after = judgeActivation({ ...each, deferral, impact: 'none', now: now + policy.later.maxMinutes * MINUTE });
          expect(after.kind).toBe('clear');
        },
      ),
    );
  });

  test('lengths of a policy may be fractions, and the times that come of them are whole', () => {
    const fraction = fc.double({ min: 0.001, max: 100, noNaN: true });
    fc.assert(
      fc.property(fraction, fraction, fraction, (deadlineHours, maxMinutes, requestedMinutes) => {
        const policy = policyOf({ deadlineHours, later: { maxCount: 1, maxMinutes } });
        const outcome = grantLater({ policy, deferral: FRESH, requestedMinutes, now: NOW });
        expect(outcome).toMatchObject({ kind: 'granted', until: expect.toSatisfy(Number.isInteger) });
      }),
    );
  });
});

describe('what other programs block', () => {
  const backup: Inhibitor = { what: ['shutdown', 'sleep'], who: 'Backup', why: 'backup of the disk is running', mode: 'block' };
  const call: Inhibitor = { what: ['idle'], who: 'Firefox', why: '', mode: 'block' };

  test.each([
    ['a backup', backup, 'waits: Backup: backup of the disk is running'],
    ['a video call', call, 'waits: Firefox is running'],
    ['a weak block, which counts for people, too', { ...backup, mode: 'block-weak' }, 'waits: Backup: backup of the disk is running'],
    ['what only delays it for seconds', { ...backup, mode: 'delay' }, null],
    ['what plays music to somebody who touches nothing', { ...call, what: ['sleep'] }, 'waits: Firefox is running'],
    ['what systemd-inhibit blocks by default', { ...backup, what: ['idle', 'sleep', 'shutdown'] }, 'waits: Backup: backup of the disk is running'],
    ['what only keeps the lid from doing anything', { ...backup, what: ['handle-lid-switch'] }, null],
  ])('%s holds up a restart, and says so', (_what, inhibitor, message) => {
    const restart = judgeReboot(input({ policy: { reboot: { when: 'idle' } }, facts: { sessions: [], inhibitors: [inhibitor] } }));
    expect(restart).toMatchObject(message === null ? CLEAR : { kind: 'wait', code: 'INHIBITED', message, until: NOW + MINUTE });
  });

  test('a switch that would end the session waits for a call, one that restarts units does not', () => {
    const facts = { sessions: [], inhibitors: [call] };
    expect(judge({ facts, policy: { deadlineHours: null } })).toMatchObject({ kind: 'wait', code: 'INHIBITED' });
    expect(judge({ facts, impact: 'units' })).toEqual(CLEAR);
    expect(judge({ facts, policy: { session: 'ignore' } })).toEqual(CLEAR);
  });

  test('a restart that spares no session does not wait for a call, but for a backup', () => {
    const policy = policyOf({ session: 'ignore', windows: [{ ...TUESDAY_2, cron: '0 12 * * *', timeZone: 'UTC' }], reboot: { when: 'window' } });
    expect(judgeReboot(input({ policy, facts: { inhibitors: [call] } }))).toEqual(CLEAR);
    expect(judgeReboot(input({ policy, facts: { inhibitors: [backup] } }))).toMatchObject({ code: 'INHIBITED' });
  });

  test('a restart in a window waits for a call, not for what only keeps the machine awake', () => {
    const policy = policyOf({ windows: [{ ...TUESDAY_2, cron: '0 12 * * *', timeZone: 'UTC' }], reboot: { when: 'window' } });
    const facts = { sessions: [], inhibitors: [{ ...call, what: ['sleep'] }] };
    expect(judgeReboot(input({ policy, facts }))).toEqual(CLEAR);
    expect(judgeReboot(input({ policy, facts: { sessions: [], inhibitors: [call] } }))).toMatchObject({ code: 'INHIBITED' });
  });

  test('several are named in the same order, however they are listed', () => {
    const read = (inhibitors: readonly Inhibitor[]) =>
      judgeReboot(input({ policy: { reboot: { when: 'idle' } }, facts: { sessions: [], inhibitors } }));
    const both = { ...call, what: ['shutdown'] };
    expect(read([backup, both])).toEqual(read([both, backup]));
    expect(read([backup, both])).toMatchObject({ message: 'waits: Backup: backup of the disk is running, Firefox is running' });
  });

  test('the deadline passes over a block, unless the policy respects it', () => {
    const waited = { deferral: { since: NOW - 2 * HOUR }, facts: { sessions: [session()], inhibitors: [backup] } };
    const at = (respectInhibitors: boolean) =>
      judgeReboot(input({ ...waited, policy: { reboot: { when: 'idle', deadlineHours: 1, respectInhibitors } } }));
    expect(at(false)).toMatchObject({ kind: 'clear', because: expect.stringContaining('backup of the disk') as string });
    expect(at(true)).toEqual({
      kind: 'wait',
      code: 'INHIBITED',
      message: 'waits: Backup: backup of the disk is running',
      until: NOW + MINUTE,
      deadlineAt: null,
      facts: { codes: ['INHIBITED'], startsAt: null, latestAt: null, programs: ['Backup: backup of the disk is running'], laterLeft: 0 },
    });
  });
});
