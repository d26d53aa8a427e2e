import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  acceptedSequence,
  AGENT_STATES,
  SERVER_AWAY,
  AGENT_JOBS,
  decide,
  emptyJournal,
  isActivating,
  isTerminalAgentState,
  isTrialOpen,
  MAX_INTERRUPTIONS,
  OVERRIDE_MIN_MS,
  type AgentDirective,
  type AgentEffect,
  type AgentEvent,
  type AgentJournal,
  type AgentState,
  type AgentStep,
  type AgentJob,
  type CommitSha,
  type StorePath,
  type Urgency,
} from '../index.ts';

const path = (name: string): StorePath => `/nix/store/${'a'.repeat(32)}-${name}` as StorePath;
const OLD = path('old');
const NEW = path('new');
const NEWER = path('newer');
const detail = { code: 'TEST', message: 'because' };
const HOUR = 3600_000;
const YEAR = 365 * 24 * HOUR;
const TRIAL = { endsAt: 2 * HOUR, endsAtUptimeMs: HOUR, bootId: 'boot' };
const before = { toplevel: OLD, profile: OLD, failedUnits: [], serverUrl: null, cache: null };

function directive(epoch: number, toplevel = NEW, more: Partial<AgentDirective> & { sequence?: number } = {}): AgentDirective {
  const { sequence = epoch, ...rest } = more;
  const release = { repository: 'r', ref: 'refs/heads/main', commit: 'c'.repeat(40) as CommitSha, sequence, toplevel, closureSizeBytes: 1 };
  return { epoch, trial: null, mode: 'activate', isRetry: false, release, envelope: '{}', ...rest };
}

function offered(epoch: number, toplevel = NEW, more: Partial<AgentDirective> & { sequence?: number } = {}): AgentEvent {
  return { type: 'offered', directive: directive(epoch, toplevel, more), freshness: null };
}

/** What an administrator asks of the directive of this epoch. */
function urgentFor(epoch: number): Urgency {
  return { level: 'soon', by: 'ada', reason: `for ${epoch}`, until: HOUR, noticedAt: null };
}

/** Feeds events one after another; effects are of the last one. */
function play(events: readonly AgentEvent[], from: AgentJournal = emptyJournal(0)): AgentStep {
  return events.reduce<AgentStep>((step, event) => decide(step.journal, event, 1), { journal: from, effects: [] });
}

const jobsOf = (effects: readonly AgentEffect[]): AgentJob[] => effects.flatMap((effect) => (effect.type === 'start-job' ? [effect.job] : []));
const statesOf = (effects: readonly AgentEffect[]): AgentState[] => effects.flatMap((effect) => (effect.type === 'report' ? [effect.state] : []));

const clear = (epoch: number): AgentEvent => ({ type: 'assessed', epoch, impact: 'units', wait: null });
const waits = (epoch: number, message = 'for the window'): AgentEvent => ({
  type: 'assessed',
  epoch,
  impact: 'units',
  wait: { detail: { code: 'WAITS', message }, until: 5 },
});
const restarted: AgentEvent = { type: 'restarted', isNewBoot: false, isOnTarget: false, fellBack: false };
const rebooted = (isOnTarget: boolean, fellBack = false): AgentEvent => ({ type: 'restarted', isNewBoot: true, isOnTarget, fellBack });
const toStaged = (epoch = 1): AgentEvent[] => [
  offered(epoch),
  { type: 'inspected', epoch, isOnTarget: false },
  { type: 'downloaded', epoch, tookMs: 1 },
  clear(epoch),
];
const toActivating = (epoch = 1): AgentEvent[] => [...toStaged(epoch), { type: 'go', epoch }, { type: 'cleared', epoch, before, how: 'switch' }];
const toVerifying = (epoch = 1): AgentEvent[] => [...toActivating(epoch), { type: 'switched', epoch, tookMs: 2 }];
const toCommitting = (epoch = 1): AgentEvent[] => [...toVerifying(epoch), { type: 'verified', epoch, tookMs: 3, note: null }];

test('a directive goes to SUCCEEDED one job after another, and each state is reported', () => {
  let journal = emptyJournal(0);
  const seen: [AgentState, AgentJob | 'ask' | undefined][] = [];
  for (const event of [...toCommitting(), { type: 'committed', epoch: 1, tookMs: 4 } as const]) {
    const step = decide(journal, event, 1);
    journal = step.journal;
    seen.push([journal.state, jobsOf(step.effects)[0] ?? (step.effects.some(({ type }) => type === 'ask') ? 'ask' : undefined)]);
    expect(statesOf(step.effects)).toEqual(event.type === 'assessed' ? [] : [journal.state]);
  }
  expect(seen).toEqual([
    ['OFFERED', 'inspect'],
    ['DOWNLOADING', 'download'],
    ['STAGED', 'assess'],
    ['STAGED', 'ask'],
    ['PRECHECK', 'precheck'],
    ['ACTIVATING', 'activate'],
    ['VERIFYING', 'verify'],
    ['COMMITTING', 'commit'],
    ['SUCCEEDED', undefined],
  ]);
  expect(journal.timings).toEqual({ downloadMs: 1, activateMs: 2, verifyMs: 3, commitMs: 4 });
});

test('a machine that is on target already downloads and switches nothing', () => {
  const { journal, effects } = play([offered(1), { type: 'inspected', epoch: 1, isOnTarget: true }]);
  expect(journal.state).toBe('SUCCEEDED');
  expect(jobsOf(effects)).toEqual([]);
});

test('a failed switch is rolled back, and the system is not tried again without an administrator', () => {
  const failed = play([...toActivating(), { type: 'switch-failed', epoch: 1, tookMs: 1, detail }]);
  expect([failed.journal.state, jobsOf(failed.effects)]).toEqual(['ROLLING_BACK', ['roll-back']]);
  const { journal } = play([{ type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true }], failed.journal);
  expect(journal).toMatchObject({ state: 'ROLLED_BACK', quarantined: [NEW], detail });
  expect(play([offered(2, NEW)], journal).journal).toBe(journal);
  expect(play([offered(2, NEW, { isRetry: true })], journal).journal.state).toBe('OFFERED');
  expect(play([offered(2, NEWER)], journal).journal.state).toBe('OFFERED');
});

test('a system that cannot reach the server is quarantined only when the previous one can', () => {
  const lost = play([...toVerifying(), { type: 'verify-failed', epoch: 1, tookMs: 1, detail, isContactLost: true }]).journal;
  expect(lost.state).toBe('ROLLING_BACK');
  const blamed = play([{ type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true }], lost).journal;
  expect(blamed).toMatchObject({ state: 'ROLLED_BACK', quarantined: [NEW] });
  const spared = play([{ type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: false }], lost).journal;
  expect(spared).toMatchObject({ state: 'OFFERED', quarantined: [] });
});

test('a system that waits for a restart is taken back by a directive to have it only, and begins again by one to activate it', () => {
  const staged = play([...toStaged(), { type: 'go', epoch: 1 }, { type: 'cleared', epoch: 1, before, how: 'boot' }]).journal;
  expect(staged.state).toBe('BOOT_STAGED');
  const taken = play([offered(2, NEW, { mode: 'stage', sequence: 1 })], staged);
  expect([taken.journal.state, jobsOf(taken.effects)]).toEqual(['ROLLING_BACK', ['roll-back']]);
  const rest: AgentEvent[] = [
    { type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true },
    { type: 'inspected', epoch: 2, isOnTarget: false },
    { type: 'downloaded', epoch: 2, tookMs: 1 },
  ];
  const idle = play(rest, taken.journal);
  expect(idle.journal).toMatchObject({ state: 'STAGED', boot: null, quarantined: [], directive: { epoch: 2, mode: 'stage' } });
  expect(idle.effects.map(({ type }) => type)).not.toContain('ask');
  // A "go" that was on its way, and a restart of the agent, begin nothing.
  expect(play([{ type: 'go', epoch: 2 }], idle.journal).journal).toBe(idle.journal);
  expect(play([restarted, { type: 'downloaded', epoch: 2, tookMs: 1 }], idle.journal).journal.state).toBe('STAGED');
  const again = play(
    [offered(3, NEW, { sequence: 1 }), { type: 'inspected', epoch: 3, isOnTarget: false }, { type: 'downloaded', epoch: 3, tookMs: 1 }, clear(3)],
    idle.journal,
  );
  expect(again.effects.map(({ type }) => type)).toContain('ask');
});

test('what was restarted into its system has begun: a directive to have it only waits for the verdict', () => {
  const staged = play([...toStaged(), { type: 'go', epoch: 1 }, { type: 'cleared', epoch: 1, before, how: 'boot' }]).journal;
  const started = play([rebooted(true)], staged).journal;
  const waiting = play([offered(2, NEW, { mode: 'stage', sequence: 1 })], started).journal;
  expect(waiting).toMatchObject({ state: 'BOOT_VERIFYING', pending: { epoch: 2 } });
});

test('a newer directive that waits for a verdict begins when the machine starts another system, or the switch needs a restart', () => {
  const staged = play([...toStaged(), { type: 'go', epoch: 1 }, { type: 'cleared', epoch: 1, before, how: 'boot' }]).journal;
  const waiting = play([rebooted(true), offered(2, NEWER)], staged).journal;
  const done = { type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true } as const;
  for (const [event, from] of [
    [rebooted(false), waiting],
    [{ type: 'restart-needed', epoch: 1, detail }, play([...toActivating(), offered(2, NEWER)]).journal],
  ] as const) {
    const step = play([event], from);
    expect([step.journal.state, jobsOf(step.effects)]).toEqual(['ROLLING_BACK', ['roll-back']]);
    expect(play([done], step.journal).journal).toMatchObject({ state: 'OFFERED', directive: { epoch: 2 }, pending: null, quarantined: [] });
  }
});

test('a newer directive replaces one that changed nothing yet, and waits for the verdict about one that did', () => {
  const replaced = play([...toStaged(), offered(2, NEWER)]);
  expect(replaced.journal).toMatchObject({ state: 'OFFERED', epoch: 2 });
  expect(replaced.effects.map(({ type }) => type)).toContain('stop-job');

  const waiting = play([...toVerifying(), offered(2, NEWER)]).journal;
  expect(waiting).toMatchObject({ state: 'VERIFYING', epoch: 2, pending: { epoch: 2 }, directive: { epoch: 1 } });
  const ended = play(
    [
      { type: 'verified', epoch: 1, tookMs: 1, note: null },
      { type: 'committed', epoch: 1, tookMs: 1 },
    ],
    waiting,
  );
  expect(ended.effects.map(({ type }) => type)).toContain('take-pending');
  expect(play([{ type: 'pending-due' }], ended.journal).journal).toMatchObject({ state: 'OFFERED', directive: { epoch: 2 }, pending: null });
});

test('a directive of an old epoch or sequence changes nothing', () => {
  const { journal } = play([...toStaged(5)]);
  expect(play([offered(5, NEWER)], journal).journal).toBe(journal);
  expect(play([offered(6, NEWER, { sequence: 4 })], journal).journal).toBe(journal);
});

test('late events of a replaced directive change nothing', () => {
  const { journal } = play([...toStaged(1), offered(2, NEWER)]);
  for (const event of [
    { type: 'downloaded', epoch: 1, tookMs: 1 },
    { type: 'go', epoch: 1 },
    { type: 'switched', epoch: 1, tookMs: 1 },
  ] as const) {
    expect(play([event], journal)).toEqual({ journal, effects: [] });
  }
});

test('after a restart of the agent the job of the journal starts again', () => {
  const cases: [AgentEvent[], AgentState, AgentJob[]][] = [
    [[offered(1)], 'OFFERED', ['inspect']],
    [toStaged().slice(0, 2), 'DOWNLOADING', ['download']],
    [toStaged(), 'DOWNLOADING', ['download']],
    [[...toStaged(), { type: 'go', epoch: 1 }], 'DOWNLOADING', ['download']],
    [toActivating(), 'ROLLING_BACK', ['roll-back']],
    [toVerifying(), 'ROLLING_BACK', ['roll-back']],
    [toCommitting(), 'COMMITTING', ['commit']],
  ];
  for (const [events, state, jobs] of cases) {
    const { journal, effects } = play([...events, restarted]);
    expect([journal.state, jobsOf(effects)]).toEqual([state, jobs]);
  }
});

test('an interrupted activation is retried a limited number of times', () => {
  let { journal } = play(toActivating());
  for (let time = 1; time < MAX_INTERRUPTIONS; time += 1) {
    journal = play([restarted, { type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true }], journal).journal;
    expect(journal).toMatchObject({ state: 'OFFERED', interruptions: time, quarantined: [] });
    journal = play(toActivating().slice(1), journal).journal;
  }
  journal = play([restarted, { type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true }], journal).journal;
  expect(journal).toMatchObject({ state: 'ROLLED_BACK', quarantined: [NEW] });
});

test('a switch that succeeded while the agent was restarted is verified, a limited number of times', () => {
  let { journal } = play(toVerifying());
  const first = play([{ type: 'switched', epoch: 1, tookMs: 0 }], journal);
  expect([first.journal.state, jobsOf(first.effects)]).toEqual(['VERIFYING', ['verify']]);
  journal = first.journal;
  for (let time = 1; time < MAX_INTERRUPTIONS; time += 1) journal = play([{ type: 'switched', epoch: 1, tookMs: 0 }], journal).journal;
  expect(journal.state).toBe('ROLLING_BACK');
});

test('a first system that fails has no rollback target, and reports that', () => {
  const { journal } = play([
    ...toStaged(),
    { type: 'go', epoch: 1 },
    { type: 'cleared', epoch: 1, before: { toplevel: null, profile: null, failedUnits: null, serverUrl: null, cache: null }, how: 'switch' },
    { type: 'switch-failed', epoch: 1, tookMs: 1, detail },
  ]);
  expect(journal).toMatchObject({ state: 'ROLLBACK_FAILED', detail: { code: 'NO_PREVIOUS_SYSTEM' }, quarantined: [NEW] });
});

test('a commit that failed is retried, and is not reported as success', () => {
  const blocked = play([...toCommitting(), { type: 'commit-failed', epoch: 1, tookMs: 1, detail }]);
  expect(blocked.journal).toMatchObject({ state: 'BLOCKED', verdict: 'passed', attempt: 1 });
  expect(blocked.effects).toContainEqual({ type: 'retry-later', pace: 'slowly', attempt: 1 });
  const again = play([{ type: 'retry-due', epoch: 1 }], blocked.journal);
  expect([again.journal.state, jobsOf(again.effects)]).toEqual(['COMMITTING', ['commit']]);
  // The verification note is gone, so the agent checks again whether the server answers.
  const committed = play([{ type: 'committed', epoch: 1, tookMs: 1 }], again.journal);
  expect(committed.journal).toMatchObject({ state: 'SUCCEEDED', detail: { code: SERVER_AWAY } });
});

test('downloads are retried without limit, and each reason is reported once', () => {
  const failed: AgentEvent = { type: 'download-failed', epoch: 1, tookMs: 1, detail, isRetryable: true };
  const first = play([...toStaged().slice(0, 2), failed]);
  expect(first.effects.map(({ type }) => type)).toEqual(['report', 'retry-later']);
  const second = play([{ type: 'retry-due', epoch: 1 }, failed], first.journal);
  expect(second.effects).toEqual([{ type: 'retry-later', pace: 'soon', attempt: 2 }]);
  expect(second.journal.state).toBe('DOWNLOADING');
});

test('a download that only an administrator can fix is tried three times', () => {
  const failed: AgentEvent = { type: 'download-failed', epoch: 1, tookMs: 1, detail, isRetryable: false };
  let step = play([...toStaged().slice(0, 2), failed]);
  for (const state of ['BLOCKED', 'REJECTED']) {
    expect(step.journal.state).toBe('BLOCKED');
    step = play([{ type: 'retry-due', epoch: 1 }, failed], step.journal);
    expect(step.journal.state).toBe(state);
  }
  expect(step.journal.detail).toEqual(detail);
  expect(step.effects.map(({ type }) => type)).toEqual(['report', 'tidy']);
});

test('a failed rollback that the watchdog or a user completed counts as a rollback', () => {
  let { journal } = play([...toActivating(), { type: 'switch-failed', epoch: 1, tookMs: 1, detail }]);
  while (journal.state === 'ROLLING_BACK') journal = play([{ type: 'rollback-failed', epoch: 1, tookMs: 1, detail }], journal).journal;
  expect(journal.state).toBe('ROLLBACK_FAILED');
  const mended = play([{ type: 'watchdog-rolled-back', epoch: 1, detail }], journal);
  expect(mended.journal).toMatchObject({ state: 'ROLLED_BACK', quarantined: [NEW] });
  expect(mended.effects).toContainEqual({ type: 'tidy' });
});

// ---- waiting -------------------------------------------------------------------------------------------------------

test('a staged system waits while the conditions are not clear, and reports each reason once', () => {
  const staged = play(toStaged().slice(0, 3));
  expect(jobsOf(staged.effects)).toEqual(['assess']);
  const deferred = play([waits(1)], staged.journal);
  expect(deferred.journal).toMatchObject({ state: 'DEFERRED', detail: { code: 'WAITS' }, deferral: { since: 1 } });
  expect(deferred.effects.at(-1)).toEqual({ type: 'look-again', until: 5 });
  const looked = play([{ type: 'retry-due', epoch: 1 }, waits(1)], deferred.journal);
  expect([looked.journal.state, statesOf(looked.effects)]).toEqual(['DEFERRED', []]);
  const other = play([waits(1, 'on battery')], looked.journal);
  expect(statesOf(other.effects)).toEqual(['DEFERRED']);
  expect(play([clear(1)], other.journal)).toMatchObject({ journal: { state: 'STAGED' } });
});

test('users are told once of what an administrator asks for: the notice has one beginning, whatever is waited for and however often', () => {
  const staged = play([offered(1, NEW, { urgent: urgentFor(1) }), ...toStaged().slice(1, 3)]);
  const deferred = decide(staged.journal, waits(1), 7);
  expect(deferred.journal.directive?.urgent?.noticedAt).toBe(7);
  const looked = decide(decide(deferred.journal, { type: 'retry-due', epoch: 1 }, 8).journal, waits(1, 'on battery'), 9);
  expect(looked.journal.directive?.urgent?.noticedAt).toBe(7);
});

test('a download that the policy delays is a deferral: with a start, checks, and an end', () => {
  const wait = { detail: { code: 'METERED', message: 'on a metered connection' }, until: null };
  const held = play([...toStaged().slice(0, 2), { type: 'download-held', epoch: 1, wait }]);
  expect(held.journal).toMatchObject({ state: 'DEFERRED', detail: { code: 'METERED' }, deferral: { since: 1 }, impact: null });
  expect(held.effects.at(-1)).toEqual({ type: 'look-again', until: null });
  const looked = decide(decide(held.journal, { type: 'retry-due', epoch: 1 }, 50).journal, { type: 'download-held', epoch: 1, wait }, 50);
  expect([looked.journal.deferral?.since, statesOf(looked.effects)]).toEqual([1, []]);
  const due = play([{ type: 'download-due', epoch: 1 }], looked.journal);
  expect([due.journal.state, jobsOf(due.effects)]).toEqual(['DOWNLOADING', ['download']]);
});

test('the wait for a restart counts from its beginning, whatever is pushed or booted meanwhile', () => {
  let journal = play([...toBootStaged(), { type: 'boot-staged', epoch: 1, tookMs: 1, detail }]).journal;
  journal = [
    offered(2, NEWER),
    { type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true } as const,
    ...toStaged(2).slice(1),
    { type: 'go', epoch: 2 } as const,
    { type: 'cleared', epoch: 2, before, how: 'boot' } as const,
    rebooted(false),
  ].reduce((last, event) => decide(last, event, 100).journal, journal);
  expect(journal).toMatchObject({ state: 'BOOT_STAGED', directive: { epoch: 2 }, since: 100, deferral: { restartSince: 1 } });
});

test('a newer system inherits the start of the wait', () => {
  const deferred = play([...toStaged().slice(0, 3), waits(1)]).journal;
  const newer = decide(deferred, offered(2, NEWER), 100).journal;
  const staged = [
    { type: 'inspected', epoch: 2, isOnTarget: false },
    { type: 'downloaded', epoch: 2, tookMs: 1 },
  ] as const;
  expect(staged.reduce((journal, event) => decide(journal, event, 100).journal, newer).deferral?.since).toBe(1);
});

test('conditions that are no longer clear before the first change defer it again', () => {
  const { journal } = play([...toStaged(), { type: 'go', epoch: 1 }, waits(1)]);
  expect(journal.state).toBe('DEFERRED');
});

// ---- restarts of the machine ---------------------------------------------------------------------------------------

const toBootStaged = (): AgentEvent[] => [...toStaged(), { type: 'go', epoch: 1 }, { type: 'cleared', epoch: 1, before, how: 'boot' }];

test('a system for the next start is staged, booted and verified before it is committed', () => {
  const staged = play(toBootStaged());
  expect([staged.journal.state, jobsOf(staged.effects)]).toEqual(['BOOT_STAGED', ['stage-boot']]);
  const waiting = play([{ type: 'boot-staged', epoch: 1, tookMs: 1, detail }], staged.journal);
  expect(waiting.effects.at(-1)).toEqual({ type: 'await-reboot' });
  const booted = play([rebooted(true)], waiting.journal);
  expect([booted.journal.state, jobsOf(booted.effects)]).toEqual(['BOOT_VERIFYING', ['verify']]);
  const kept = play(
    [
      { type: 'verified', epoch: 1, tookMs: 1, note: null },
      { type: 'committed', epoch: 1, tookMs: 1 },
    ],
    booted.journal,
  ).journal;
  expect(kept).toMatchObject({ state: 'SUCCEEDED', previous: OLD, boot: null });
});

test('a system whose switch reports that it needs a restart is staged for the next start', () => {
  const step = play([...toActivating(), { type: 'restart-needed', epoch: 1, detail }]);
  expect([step.journal.state, jobsOf(step.effects), step.journal.before?.toplevel]).toEqual(['BOOT_STAGED', ['stage-boot'], OLD]);
});

test('a start that the boot guard reverted is a failure; a start of another system is retried a limited number of times', () => {
  const { journal } = play([...toBootStaged(), { type: 'boot-staged', epoch: 1, tookMs: 1, detail }]);
  expect(play([rebooted(false, true)], journal).journal).toMatchObject({ state: 'ROLLING_BACK', verdict: 'failed', detail: { code: 'BOOT_FAILED' } });
  const once = play([rebooted(false)], journal);
  expect([once.journal.state, jobsOf(once.effects)]).toEqual(['BOOT_STAGED', ['stage-boot']]);
  expect(play([rebooted(false), rebooted(false)], once.journal).journal).toMatchObject({
    state: 'ROLLING_BACK',
    detail: { code: 'BOOTS_ANOTHER_SYSTEM' },
  });
});

test('a machine that lost power while a booted system was verified, and booted the previous one, retries a limited number of times', () => {
  let { journal } = play([...toBootStaged(), { type: 'boot-staged', epoch: 1, tookMs: 1, detail }]);
  for (let time = 1; time < 3; time += 1) {
    const step = play([rebooted(true), rebooted(false)], journal);
    expect([step.journal.state, step.journal.boot, jobsOf(step.effects)]).toEqual(['BOOT_STAGED', { misses: time }, ['stage-boot']]);
    ({ journal } = step);
  }
  expect(play([rebooted(true), rebooted(false)], journal).journal).toMatchObject({ state: 'ROLLING_BACK', verdict: 'failed' });
});

test('a restart that failed is retried when the policy still allows it', () => {
  const failed = play([...toBootStaged(), { type: 'reboot-due', epoch: 1, detail }, { type: 'reboot-failed', epoch: 1, tookMs: 1, detail }]);
  expect([failed.journal.state, failed.effects.at(-1)]).toEqual(['BOOT_STAGED', { type: 'retry-later', pace: 'slowly', attempt: 1 }]);
  expect(play([{ type: 'retry-due', epoch: 1 }], failed.journal).effects).toEqual([{ type: 'await-reboot' }]);
});

test('a newer system replaces one that waits for a restart, after that was unstaged', () => {
  const step = play([...toBootStaged(), offered(2, NEWER)]);
  expect([step.journal.state, jobsOf(step.effects)]).toEqual(['ROLLING_BACK', ['roll-back']]);
  const { journal } = play([{ type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true }], step.journal);
  expect(journal).toMatchObject({ state: 'OFFERED', directive: { epoch: 2 }, quarantined: [] });
});

test('the system that a user switches to while a restart is pending survives the restart: the staged system is unstaged', () => {
  const { journal } = play([...toBootStaged(), { type: 'boot-staged', epoch: 1, tookMs: 1, detail }]);
  const override = { toplevel: path('by-hand'), since: 1, by: 'switch' as const };
  const step = play([{ type: 'overridden', override }], journal);
  expect([step.journal.state, step.journal.override, jobsOf(step.effects)]).toEqual(['ROLLING_BACK', override, ['roll-back']]);
  expect(step.effects[0]).toEqual({ type: 'stop-job' });
  const back: AgentEvent = { type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true };
  const ended = play([back], step.journal);
  expect(ended.journal).toMatchObject({ state: 'IDLE', override, boot: null, quarantined: [], detail: { code: 'LOCAL_OVERRIDE' } });
  // Where the policy corrects the switch, the system is staged again, with the running system as the rollback target.
  expect(play([{ type: 'resumed' }, back], journal).journal).toMatchObject({ state: 'OFFERED', override: null, boot: null });
});

// ---- users ---------------------------------------------------------------------------------------------------------

const toSucceeded = (): AgentEvent[] => [...toCommitting(), { type: 'committed', epoch: 1, tookMs: 1 }];

test('the rollback of a user is kept against the same system, and for a day against another', () => {
  const { journal } = play([
    ...toSucceeded(),
    { type: 'rollback-asked', target: OLD },
    { type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true },
  ]);
  expect(journal).toMatchObject({ state: 'IDLE', detail: { code: 'LOCAL_OVERRIDE' }, override: { toplevel: OLD, by: 'rollback' }, quarantined: [] });
  expect(play([offered(2, NEW)], journal).journal).toMatchObject({ state: 'IDLE', epoch: 2 });
  const waiting = play([offered(2, NEWER)], journal);
  expect(waiting.journal).toMatchObject({ state: 'IDLE', pending: { epoch: 2 } });
  expect(waiting.effects).toEqual([{ type: 'take-pending-at', at: 1 + OVERRIDE_MIN_MS }]);
  expect(decide(waiting.journal, { type: 'pending-due' }, 2).journal.state).toBe('IDLE');
  expect(decide(waiting.journal, { type: 'pending-due' }, 2 + OVERRIDE_MIN_MS).journal).toMatchObject({ state: 'OFFERED', override: null });
  expect(play([offered(2, NEW, { isRetry: true })], journal).journal).toMatchObject({ state: 'OFFERED', override: null });
  expect(play([{ type: 'resumed' }], journal).journal).toMatchObject({ state: 'OFFERED', override: null });
});

test('a local override made under a clock that was a year ahead holds for a day, not for a year', () => {
  const chosen = decide(play([offered(1)]).journal, { type: 'overridden', override: { toplevel: OLD, since: YEAR, by: 'switch' } }, YEAR);
  const waiting = decide(chosen.journal, offered(2, NEWER), 5);
  expect(waiting.effects).toEqual([{ type: 'take-pending-at', at: 5 + OVERRIDE_MIN_MS }]);
  expect(decide(waiting.journal, { type: 'pending-due' }, 4 + OVERRIDE_MIN_MS).journal).toBe(waiting.journal);
  expect(decide(waiting.journal, { type: 'pending-due' }, 5 + OVERRIDE_MIN_MS).journal).toMatchObject({ state: 'OFFERED', directive: { epoch: 2 } });
  // The clock was corrected while the other system waited already.
  const ahead = decide(chosen.journal, offered(2, NEWER), YEAR + 1).journal;
  const corrected = decide(ahead, { type: 'pending-due' }, 5);
  expect(corrected.effects).toEqual([{ type: 'take-pending-at', at: 5 + OVERRIDE_MIN_MS }]);
  expect(decide(corrected.journal, { type: 'pending-due' }, 5 + OVERRIDE_MIN_MS).journal.state).toBe('OFFERED');
});

test('a system that a user rolled back does not return after a day because it was offered again meanwhile', () => {
  const system: AgentEvent[] = [...toCommitting(), { type: 'committed', epoch: 1, tookMs: 1 }, { type: 'rollback-asked', target: OLD }];
  const back = play([...system, offered(2, NEW), { type: 'rolled-back', epoch: 1, tookMs: 1, hasContact: true }]);
  expect(back.journal).toMatchObject({ state: 'IDLE', override: { by: 'rollback' }, pending: { epoch: 2 } });
  const step = decide(back.journal, { type: 'pending-due' }, 2 * OVERRIDE_MIN_MS);
  expect(step.journal).toMatchObject({ state: 'IDLE', override: { by: 'rollback' }, directive: { epoch: 2 }, pending: null });
  expect(statesOf(step.effects)).toEqual(['IDLE']);
});

test('an agent without a directive has nothing to roll back', () => {
  expect(play([{ type: 'rollback-asked', target: OLD }])).toEqual({ journal: emptyJournal(0), effects: [] });
});

test('a rollback by the watchdog counts as a failure of the system', () => {
  const step = play([...toVerifying(), { type: 'watchdog-rolled-back', epoch: 1, detail }]);
  expect([step.journal.state, step.journal.verdict, jobsOf(step.effects)]).toEqual(['ROLLING_BACK', 'failed', ['roll-back']]);
});

test('retries of a directive that stays BLOCKED (/boot full, malformed path) slow down', () => {
  let step = play(toStaged().slice(0, 3));
  const attempts: number[] = [];
  let reports = 0;
  for (let round = 0; round < 10; round += 1) {
    for (const event of [clear(1), { type: 'go', epoch: 1 }, { type: 'not-clear', epoch: 1, isGone: false, detail }] as AgentEvent[]) {
      step = decide(step.journal, event, 1);
      reports += step.effects.filter(({ type }) => type === 'report').length;
    }
    attempts.push(...step.effects.flatMap((each) => (each.type === 'retry-later' ? [each.attempt] : [])));
    for (const event of [
      { type: 'retry-due', epoch: 1 },
      { type: 'downloaded', epoch: 1, tookMs: 0 },
    ] as AgentEvent[]) {
      step = decide(step.journal, event, 1);
      reports += step.effects.filter(({ type }) => type === 'report').length;
    }
  }
  expect({ attempts, reports }).toMatchObject({ attempts: expect.not.arrayContaining([undefined]) });
  expect(attempts.at(-1)).toBeGreaterThan(attempts[0] ?? 0);
});

test('"now" allows one restart: a machine that booted the previous system is not restarted again without asking', () => {
  const staged = play([
    ...toStaged(),
    { type: 'go', epoch: 1 },
    { type: 'cleared', epoch: 1, before, how: 'boot' },
    { type: 'boot-staged', epoch: 1, tookMs: 1, detail },
  ]);
  const deferral = { since: 1, restartSince: null, laterCount: 0, laterUntil: null, isOverruled: true };
  const now = play(
    [
      { type: 'deferral-changed', deferral },
      { type: 'reboot-due', epoch: 1, detail },
    ],
    staged.journal,
  );
  const back = play([{ type: 'restarted', isNewBoot: true, isOnTarget: false, fellBack: false }], now.journal);
  expect(back.journal.boot?.misses).toBe(1);
  // conditions.mayReboot(): isOverruled -> isDue
  expect(back.journal.deferral?.isOverruled).toBe(false);
});

test('"now" to a deferred system does not allow a restart', () => {
  const waiting = play([...toStaged().slice(0, 3), { type: 'assessed', epoch: 1, impact: 'reboot', wait: { detail, until: null } }]);
  const deferral = { since: 1, restartSince: null, laterCount: 0, laterUntil: null, isOverruled: true };
  const staged = play(
    [{ type: 'deferral-changed', deferral }, clear(1), { type: 'go', epoch: 1 }, { type: 'cleared', epoch: 1, before, how: 'boot' }],
    waiting.journal,
  );
  expect(staged.journal.state).toBe('BOOT_STAGED');
  expect(staged.journal.deferral?.isOverruled).toBe(false);
});

test('"now" to a download that is held is about the network: the switch waits for its own conditions', () => {
  const held = play([...toStaged().slice(0, 2), { type: 'download-held', epoch: 1, wait: { detail, until: null } }]);
  const deferral = { since: 1, restartSince: null, laterCount: 0, laterUntil: null, isOverruled: true };
  const begun = play(
    [
      { type: 'deferral-changed', deferral },
      { type: 'download-due', epoch: 1 },
      { type: 'downloaded', epoch: 1, tookMs: 1 },
    ],
    held.journal,
  );
  expect(begun.journal).toMatchObject({ state: 'STAGED', deferral: { isOverruled: false } });
});

test('a lost journal does not disarm the watchdog', () => {
  const { effects } = decide(emptyJournal(0), { type: 'restarted', isNewBoot: false, isOnTarget: false, fellBack: false }, 1);
  expect(effects).not.toContainEqual({ type: 'tidy' });
});

test('the drift policy correct-now applies in BLOCKED after the verdict', () => {
  const blocked = play([
    ...toStaged(),
    { type: 'go', epoch: 1 },
    { type: 'cleared', epoch: 1, before, how: 'switch' },
    { type: 'switched', epoch: 1, tookMs: 1 },
    { type: 'verified', epoch: 1, tookMs: 1, note: null },
    { type: 'commit-failed', epoch: 1, tookMs: 1, detail },
  ]);
  expect(blocked.journal.state).toBe('BLOCKED');
  const step = decide(blocked.journal, { type: 'resumed' }, 1);
  expect(step.effects).not.toEqual([]);
});

const started = play([
  ...toStaged(),
  { type: 'go', epoch: 1 },
  { type: 'cleared', epoch: 1, before, how: 'boot' },
  { type: 'boot-staged', epoch: 1, tookMs: 1, detail },
  { type: 'restarted', isNewBoot: true, isOnTarget: true, fellBack: false },
]);

test('a switch by hand while a booted system is verified is handled (A8), and the boot guard does not restart the machine', () => {
  expect(started.journal.state).toBe('BOOT_VERIFYING');
  // The result of the verify job when its last look at the machine shows another system.
  const step = decide(started.journal, { type: 'overridden', override: { toplevel: OLD, since: 1, by: 'switch' } }, 1);
  expect(step.effects).not.toEqual([]);
});

test('a passed verdict that is found while ACTIVATING leads on', () => {
  const activating = play([...toStaged(), { type: 'go', epoch: 1 }, { type: 'cleared', epoch: 1, before, how: 'switch' }]);
  expect(decide(activating.journal, { type: 'verified', epoch: 1, tookMs: 0, note: null }, 1).effects).not.toEqual([]);
});

// ---- invariants under any events -----------------------------------------------------------------------------------

const anyEpoch = fc.integer({ min: 1, max: 12 });
const anyToplevel = fc.constantFrom(NEW, NEWER, path('third'));
const timed = { epoch: anyEpoch, tookMs: fc.constant(1) };
const failing = { ...timed, detail: fc.constant(detail) };
const record = (type: AgentEvent['type'], fields: object): fc.Arbitrary<AgentEvent> =>
  fc.record({ type: fc.constant(type), ...fields }) as fc.Arbitrary<AgentEvent>;

const anyEvent: fc.Arbitrary<AgentEvent> = fc.oneof(
  record('restarted', { isNewBoot: fc.boolean(), isOnTarget: fc.boolean(), fellBack: fc.boolean() }),
  // The combination that leads on from a staged system.
  record('restarted', { isNewBoot: fc.constant(true), isOnTarget: fc.constant(true), fellBack: fc.constant(false) }),
  fc
    .tuple(
      anyEpoch,
      anyToplevel,
      fc.boolean(),
      fc.constantFrom('activate' as const, 'boot' as const, 'stage' as const, 'hold' as const),
      fc.integer({ min: 1, max: 4 }),
      fc.option(fc.integer({ min: 1, max: 4 }), { nil: undefined }),
      fc.constantFrom(null, null, TRIAL),
      fc.boolean(),
    )
    .map(([epoch, toplevel, isRetry, anyMode, sequence, floor, trial, isUrgent]): AgentEvent => {
      // judgeDirective() accepts a trial only as a change that begins at once.
      const mode = trial === null ? anyMode : 'activate';
      const urgent = isUrgent ? { urgent: urgentFor(epoch) } : {};
      return { ...offered(epoch, toplevel, { isRetry, mode, sequence, trial, ...urgent }), floor } as AgentEvent;
    }),
  record('refused', { epoch: anyEpoch, toplevel: fc.constant(null), detail: fc.constant(detail) }),
  record('drifted', {}),
  record('overridden', { override: fc.record({ toplevel: anyToplevel, since: fc.constant(1), by: fc.constant('switch' as const) }) }),
  record('resumed', {}),
  record('rollback-asked', { target: fc.constant(OLD) }),
  record('deferral-changed', {
    deferral: fc.record({
      since: fc.constant(1),
      restartSince: fc.constant(null),
      laterCount: fc.nat(3),
      laterUntil: fc.constant(null),
      isOverruled: fc.boolean(),
    }),
  }),
  record('retry-due', { epoch: anyEpoch }),
  record('pending-due', {}),
  record('inspected', { epoch: anyEpoch, isOnTarget: fc.boolean() }),
  record('downloaded', timed),
  record('download-failed', { ...failing, isRetryable: fc.boolean() }),
  record('download-held', { epoch: anyEpoch, wait: fc.record({ detail: fc.constant(detail), until: fc.constant(null) }) }),
  record('download-due', { epoch: anyEpoch }),
  record('assessed', {
    epoch: anyEpoch,
    impact: fc.constantFrom('none', 'units', 'session', 'reboot'),
    wait: fc.option(fc.record({ detail: fc.constant(detail), until: fc.constant(null) })),
  }),
  record('go', { epoch: anyEpoch }),
  record('cleared', { epoch: anyEpoch, before: fc.constantFrom(before, { ...before, toplevel: null }), how: fc.constantFrom('switch', 'boot') }),
  record('not-clear', { epoch: anyEpoch, isGone: fc.boolean(), detail: fc.constant(detail) }),
  record('switched', timed),
  record('switch-failed', failing),
  record('restart-needed', { epoch: anyEpoch, detail: fc.constant(detail) }),
  record('verified', { ...timed, note: fc.constantFrom(null, { code: 'SERVER_AWAY', message: '' }) }),
  record('verify-failed', { ...failing, isContactLost: fc.boolean() }),
  record('watchdog-rolled-back', { epoch: anyEpoch, detail: fc.constant(detail) }),
  record('boot-staged', failing),
  record('boot-stage-failed', failing),
  record('reboot-due', { epoch: anyEpoch, detail: fc.constant(detail) }),
  record('reboot-waits', { epoch: anyEpoch, detail: fc.constant(detail) }),
  record('reboot-failed', failing),
  record('server-met', { epoch: anyEpoch }),
  record('server-missed', { epoch: anyEpoch, detail: fc.constant(detail) }),
  record('trial-refused', { epoch: anyEpoch, detail: fc.constant(detail) }),
  record('trial-over', { epoch: anyEpoch, detail: fc.constant(detail) }),
  record('committed', timed),
  record('commit-failed', failing),
  record('rolled-back', { ...timed, hasContact: fc.boolean() }),
  record('rollback-failed', failing),
);

/** The events that each state waits for. Without a bias towards them, random events would never leave OFFERED. */
const AWAITED: Partial<Record<AgentState, readonly AgentEvent['type'][]>> = {
  OFFERED: ['inspected'],
  DOWNLOADING: ['downloaded', 'downloaded', 'download-failed', 'retry-due'],
  STAGED: ['assessed', 'go', 'go'],
  DEFERRED: ['retry-due', 'assessed'],
  PRECHECK: ['cleared', 'cleared', 'not-clear'],
  ACTIVATING: ['switched', 'switched', 'switch-failed', 'restarted', 'watchdog-rolled-back'],
  BOOT_STAGED: ['boot-staged', 'reboot-due', 'reboot-failed', 'retry-due', 'restarted', 'boot-stage-failed'],
  BOOT_VERIFYING: ['verified', 'verify-failed', 'restarted'],
  VERIFYING: ['verified', 'verify-failed', 'switched'],
  TRYING: ['trial-over', 'offered', 'restarted', 'overridden', 'resumed', 'rollback-asked'],
  COMMITTING: ['committed', 'commit-failed'],
  SUCCEEDED: ['offered', 'pending-due', 'server-missed'],
  ROLLING_BACK: ['rolled-back', 'rollback-failed'],
  BLOCKED: ['retry-due'],
};

/** How the clock changes before an event: usually it advances; sometimes it is set to another day or year. */
const anyLeap = fc.oneof(
  { arbitrary: fc.integer({ min: 0, max: 10 * HOUR }), weight: 8 },
  { arbitrary: fc.integer({ min: -3 * 24 * HOUR, max: 3 * 24 * HOUR }), weight: 1 },
  { arbitrary: fc.constantFrom(-YEAR, YEAR), weight: 1 },
);

const anyWalk = fc.array(fc.tuple(fc.array(anyEvent, { minLength: 24, maxLength: 24 }), fc.integer({ min: 0, max: 9 }), anyLeap), {
  minLength: 10,
  maxLength: 40,
  size: 'max',
});

/** How a walk begins: often with a trial, as far as anywhere up to its end. Chance alone seldom leads through all of its steps. */
const anyBeginning: fc.Arbitrary<readonly AgentEvent[]> = fc.oneof(
  fc.constant([]),
  fc.nat(8).map((length) => [offered(1, NEW, { trial: TRIAL }), ...toCommitting(1).slice(1)].slice(0, length)),
);

/** Usually the first candidate that the state waits for, or that ends the job or wait under way; otherwise any. */
function choose(journal: AgentJournal, { job, wait }: UnderWay, candidates: readonly AgentEvent[], bias: number): AgentEvent {
  const first = candidates[0] ?? restarted;
  if (bias > 6) return first;
  const ends = [job, wait].flatMap((each) => (each === null ? [] : ENDS[each]));
  const awaited = bias > 3 && ends.length > 0 ? ends : (AWAITED[journal.state] ?? ['offered', 'pending-due']);
  const event = candidates.find(({ type }) => awaited.includes(type)) ?? first;
  return 'epoch' in event && journal.directive !== null ? { ...event, epoch: journal.directive.epoch } : event;
}

test('SPEC A1 to A13 hold after every step of any sequence of events, by any clock', () => {
  const reached = new Set<AgentState>();
  const walks = fc.property(anyBeginning, anyWalk, (beginning, walk) => {
    let now = 50 * YEAR;
    let journal = emptyJournal(now);
    let underWay: UnderWay = NOTHING_UNDER_WAY;
    const take = (event: AgentEvent): void => {
      const { journal: next, effects } = decide(journal, event, now);
      reached.add(next.state);
      checkStep(journal, next, effects, event);
      checkOverride(journal, next, effects, event, now);
      checkTrial(journal, next, effects, event);
      underWay = follow(underWay, journal, event, effects);
      checkLeadsOn(next, underWay, event);
      journal = next;
    };
    for (const event of beginning) take(event);
    for (const [candidates, bias, leap] of walk) {
      now += leap;
      take(sinceNow(choose(journal, underWay, candidates, bias), now));
    }
  });
  fc.assert(walks, { numRuns: 4_000 });
  // Some states are reached by a few walks in thousands.
  for (let more = 0; more < 4 && reached.size < AGENT_STATES.length; more += 1) fc.assert(walks, { numRuns: 4_000 });
  expect([...reached].toSorted()).toEqual([...AGENT_STATES].toSorted());
});

function checkStep(journal: AgentJournal, next: AgentJournal, effects: readonly AgentEffect[], event: AgentEvent): void {
  const jobs = jobsOf(effects);
  const context = JSON.stringify({ from: journal.state, to: next.state, event, jobs });
  // A1: accepted epochs and sequences never fall.
  expect(next.epoch, context).toBeGreaterThanOrEqual(journal.epoch);
  expect(acceptedSequence(next, 'r', 'refs/heads/main'), context).toBeGreaterThanOrEqual(acceptedSequence(journal, 'r', 'refs/heads/main'));
  // A11: only a permit that reaches up to what was accepted lets a directive go below it. A trial accepts nothing (A12).
  if (event.type === 'offered' && event.directive.trial === null && next.epoch > journal.epoch) {
    const { sequence } = event.directive.release;
    const accepted = acceptedSequence(journal, 'r', 'refs/heads/main');
    expect(sequence >= accepted || (event.floor ?? 0) >= accepted, context).toBe(true);
  }
  // A2: one job at a time, and one report.
  expect(jobs.length, context).toBeLessThanOrEqual(1);
  expect(statesOf(effects).length, context).toBeLessThanOrEqual(1);
  // A3: the machine is changed only after `cleared`, with the rollback target in the journal.
  if (jobs.includes('activate')) expect([event.type, next.state, next.before === null], context).toEqual(['cleared', 'ACTIVATING', false]);
  if (jobs.includes('stage-boot') || jobs.includes('reboot')) expect([next.state, next.before === null], context).toEqual(['BOOT_STAGED', false]);
  // A4: a commit needs a passed verdict.
  if (jobs.includes('commit') || next.state === 'COMMITTING') expect(next.verdict, context).toBe('passed');
  if (next.state === 'SUCCEEDED' && journal.state !== 'SUCCEEDED') expect(['committed', 'inspected'], context).toContain(event.type);
  // A5: a rollback has a target, and does not follow a passed verdict.
  if (next.state === 'ROLLING_BACK') expect([next.before?.toplevel, next.verdict === 'passed'], context).toEqual([OLD, false]);
  // A6: a directive that changes the machine is not replaced.
  if (isActivating(journal.state) && journal.state !== 'PRECHECK' && event.type === 'offered')
    expect(next.directive, context).toBe(journal.directive);
  // A6: no restart is waited for while a newer directive waits.
  if (next.state === 'BOOT_STAGED') expect(next.pending, context).toBeNull();
  // A7: a system that was rolled back is not under way again, except by a retry.
  // A10: a system that is staged for the next start is tried by that start, or unstaged.
  if (journal.state === 'BOOT_STAGED' && next.state !== 'BOOT_STAGED')
    expect(['BOOT_VERIFYING', 'ROLLING_BACK', 'BLOCKED', 'OFFERED', 'ROLLBACK_FAILED'], context).toContain(next.state);
  if (next.directive !== null && !next.directive.isRetry && !isTerminalAgentState(next.state) && next.state !== 'IDLE' && next.verdict !== 'unwanted')
    expect(next.quarantined, context).not.toContain(next.directive.release.toplevel);
  // A14: nothing but its own directive makes a change urgent, and its notice has one beginning.
  const urgent = next.directive?.urgent;
  if (urgent !== undefined) expect(urgent.reason, context).toBe(`for ${next.directive?.epoch}`);
  const noticedAt = journal.directive?.epoch === next.directive?.epoch ? journal.directive?.urgent?.noticedAt : undefined;
  if (noticedAt != null && urgent !== undefined) expect(urgent.noticedAt, context).toBe(noticedAt);
  // A8: entering a state that is not an end starts its job.
  const isEntered = next.state !== journal.state || next.directive !== journal.directive;
  const jobOnEntry: Partial<Record<AgentState, AgentJob>> = {
    OFFERED: 'inspect',
    DOWNLOADING: 'download',
    PRECHECK: 'precheck',
    ACTIVATING: 'activate',
    VERIFYING: 'verify',
    COMMITTING: 'commit',
    ROLLING_BACK: 'roll-back',
    BOOT_VERIFYING: 'verify',
  };
  if (isEntered && jobOnEntry[next.state] !== undefined) expect(jobs, context).toEqual([jobOnEntry[next.state]]);
}

/** A12 and A13: a trial leaves nothing behind, and always ends. */
function checkTrial(journal: AgentJournal, next: AgentJournal, effects: readonly AgentEffect[], event: AgentEvent): void {
  const trial = next.directive?.trial ?? null;
  const context = JSON.stringify({ from: journal.state, to: next.state, event, jobs: jobsOf(effects) });
  if (next.state === 'TRYING')
    expect([trial === null, next.pending, next.before?.toplevel, next.verdict], context).toEqual([false, null, OLD, 'passed']);
  if (trial === null) return;
  // Never the default of the machine, nor of its next start.
  expect(['COMMITTING', 'SUCCEEDED', 'BOOT_STAGED', 'BOOT_VERIFYING'], context).not.toContain(next.state);
  expect(next.state, context).not.toBe('ROLLED_BACK');
  for (const job of ['commit', 'stage-boot', 'reboot']) expect(jobsOf(effects), context).not.toContain(job);
  if (event.type === 'offered' && event.directive === next.directive) expect(next.sequences, context).toBe(journal.sequences);
  if (journal.directive === next.directive) expect(next.quarantined, context).toEqual(journal.quarantined);
  // It does not replace what a user chose, unless they give that up, and does not begin again once it has ended.
  if (journal.override !== null && next.directive !== journal.directive && event.type !== 'resumed')
    expect(next.override, context).toBe(journal.override);
  const isEnd = (state: AgentState): boolean => isTerminalAgentState(state) || state === 'IDLE';
  if (journal.directive === next.directive && isEnd(journal.state))
    expect([true, 'ROLLING_BACK'], context).toContain(isEnd(next.state) || next.state);
  // From every state of it, its end leads to a rest, or to the way back.
  const over = decide(next, { type: 'trial-over', epoch: next.directive?.epoch ?? 0, detail }, 1).journal;
  if (isTrialOpen(next)) expect(over.state, context).toBe(next.state === 'TRYING' ? 'ROLLING_BACK' : 'IDLE');
}

/** A9: a local override ends only by another system after a day, by a user or an administrator, or by the policy for drift. */
function checkOverride(journal: AgentJournal, next: AgentJournal, effects: readonly AgentEffect[], event: AgentEvent, now: number): void {
  const { override } = journal;
  const context = JSON.stringify({ from: journal.state, to: next.state, event, override, now });
  if (override !== null && next.override === null && event.type !== 'resumed') {
    expect(['offered', 'pending-due'], context).toContain(event.type);
    if (next.directive?.isRetry !== true) {
      // What was only tried, the fleet may bring later.
      if (journal.directive?.trial == null) expect(next.directive?.release.toplevel, context).not.toBe(journal.directive?.release.toplevel);
      expect(now - override.since, context).toBeGreaterThanOrEqual(OVERRIDE_MIN_MS);
    }
  }
  // A clock that was ahead when it was made does not extend it.
  for (const effect of effects) {
    if (effect.type !== 'take-pending-at') continue;
    expect(effect.at, context).toBeLessThanOrEqual(now + OVERRIDE_MIN_MS);
    expect(next.override?.since, context).toBe(effect.at - OVERRIDE_MIN_MS);
  }
}

// ---- A8: no state is stuck ---------------------------------------------------------------------------------------

/** The job and the wait that the effects so far have started. Their end is an event. */
interface UnderWay {
  readonly job: AgentJob | null;
  readonly wait: Wait | null;
}
type Wait = 'retry' | 'ask' | 'await-reboot' | 'pending';
const NOTHING_UNDER_WAY: UnderWay = { job: null, wait: null };

/** The events that end a job or a wait. */
const ENDS: Record<AgentJob | Wait, readonly AgentEvent['type'][]> = {
  inspect: ['inspected'],
  download: ['downloaded', 'download-failed', 'download-held'],
  assess: ['assessed'],
  precheck: ['cleared', 'not-clear', 'assessed'],
  activate: ['switched', 'switch-failed', 'restart-needed', 'not-clear', 'verified', 'watchdog-rolled-back', 'overridden'],
  verify: ['verified', 'verify-failed', 'watchdog-rolled-back', 'overridden'],
  commit: ['committed', 'commit-failed'],
  'roll-back': ['rolled-back', 'rollback-failed'],
  'stage-boot': ['boot-staged', 'boot-stage-failed'],
  reboot: ['reboot-failed'],
  retry: ['retry-due'],
  ask: ['go'],
  'await-reboot': ['reboot-due'],
  pending: ['pending-due'],
};

/** The jobs and waits that lead out of each state. An end needs none, unless a directive is pending. */
const LEADS_ON: Record<AgentState, readonly (AgentJob | Wait)[]> = {
  IDLE: [],
  OFFERED: ['inspect'],
  DOWNLOADING: ['download', 'retry'],
  STAGED: ['assess', 'ask'],
  DEFERRED: ['assess', 'retry'],
  PRECHECK: ['precheck'],
  ACTIVATING: ['activate'],
  VERIFYING: ['verify'],
  COMMITTING: ['commit'],
  // The agent looks every few seconds whether its end has come.
  TRYING: [],
  SUCCEEDED: [],
  BOOT_STAGED: ['stage-boot', 'await-reboot', 'reboot', 'retry'],
  BOOT_VERIFYING: ['verify'],
  ROLLING_BACK: ['roll-back', 'retry'],
  ROLLED_BACK: [],
  ROLLBACK_FAILED: [],
  BLOCKED: ['retry', 'pending'],
  REJECTED: [],
};

/** Mirrors the agent: a new job or wait replaces the previous wait, and a stopped job reports no result. */
function follow(underWay: UnderWay, journal: AgentJournal, event: AgentEvent, effects: readonly AgentEffect[]): UnderWay {
  let { job, wait } = event.type === 'restarted' ? NOTHING_UNDER_WAY : underWay;
  const isLate = 'epoch' in event && event.epoch !== journal.directive?.epoch;
  if (job !== null && !isLate && ENDS[job].includes(event.type)) job = null;
  if (wait !== null && !isLate && ENDS[wait].includes(event.type)) wait = null;
  for (const effect of effects) {
    if (effect.type === 'stop-job') ({ job, wait } = NOTHING_UNDER_WAY);
    else if (effect.type === 'start-job') ({ job, wait } = { job: effect.job, wait: null });
    else if (effect.type === 'retry-later' || effect.type === 'look-again') wait = 'retry';
    else if (effect.type === 'ask' || effect.type === 'await-reboot') wait = effect.type;
    else if (effect.type === 'take-pending' || effect.type === 'take-pending-at') wait = 'pending';
  }
  return { job, wait };
}

function checkLeadsOn(journal: AgentJournal, { job, wait }: UnderWay, event: AgentEvent): void {
  const { state, pending } = journal;
  const mode = journal.directive?.mode;
  const context = JSON.stringify({ state, mode, event, job, wait });
  const isDue = (job !== null && LEADS_ON[state].includes(job)) || (wait !== null && LEADS_ON[state].includes(wait));
  const isEnd = LEADS_ON[state].length === 0 || (state === 'STAGED' && mode === 'stage');
  if (!isEnd) expect(isDue, context).toBe(true);
  else if (pending !== null) expect(wait, context).toBe('pending');
  // The result of a job names the epoch of its directive.
  if (job !== null) expect(journal.directive, context).not.toBeNull();
}

/** An override begins when it is found. */
function sinceNow(event: AgentEvent, now: number): AgentEvent {
  return event.type === 'overridden' ? { ...event, override: { ...event.override, since: now } } : event;
}

test('every job is started by some step', () => {
  const begun = new Set<AgentJob>();
  const failed: AgentEvent[] = [...toActivating(), { type: 'switch-failed', epoch: 1, tookMs: 1, detail }];
  for (const events of [toCommitting(), failed, [...toBootStaged(), { type: 'reboot-due', epoch: 1, detail } as const]]) {
    let journal = emptyJournal(0);
    for (const event of events) {
      const step = decide(journal, event, 1);
      journal = step.journal;
      for (const each of jobsOf(step.effects)) begun.add(each);
    }
  }
  expect([...begun].toSorted()).toEqual([...AGENT_JOBS].toSorted());
});
