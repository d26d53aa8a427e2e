import { expect, test } from 'vitest';
import {
  acceptedSequence,
  decide,
  emptyJournal,
  type AgentDirective,
  type AgentEffect,
  type AgentEvent,
  type AgentJournal,
  type AgentStep,
  type CommitSha,
  type StorePath,
} from '../index.ts';

const path = (name: string): StorePath => `/nix/store/${'a'.repeat(32)}-${name}` as StorePath;
const [OLD, TRIED, NEXT, THIRD] = [path('old'), path('tried'), path('next'), path('third')];
const detail = { code: 'TEST', message: 'because' };
const before = { toplevel: OLD, profile: OLD, failedUnits: [], serverUrl: null, cache: null };
const trial = { endsAt: 10, endsAtUptimeMs: 5, bootId: 'boot' };

function offered(epoch: number, toplevel: StorePath, more: Partial<AgentDirective> & { sequence?: number } = {}): AgentEvent {
  const { sequence = 5, ...rest } = more;
  const release = { repository: 'r', ref: 'refs/heads/main', commit: 'c'.repeat(40) as CommitSha, sequence, toplevel, closureSizeBytes: 1 };
  return { type: 'offered', directive: { epoch, trial: null, mode: 'activate', isRetry: false, release, envelope: '{}', ...rest }, freshness: null };
}

function play(events: readonly AgentEvent[], from: AgentJournal): AgentStep {
  return events.reduce<AgentStep>((step, event) => decide(step.journal, event, 1), { journal: from, effects: [] });
}

const jobsOf = (effects: readonly AgentEffect[]): string[] => effects.flatMap((effect) => (effect.type === 'start-job' ? [effect.job] : []));

const way = (epoch: number): AgentEvent[] => [
  { type: 'inspected', epoch, isOnTarget: false },
  { type: 'downloaded', epoch, tookMs: 1 },
  { type: 'assessed', epoch, impact: 'units', wait: null },
  { type: 'go', epoch },
  { type: 'cleared', epoch, before, how: 'switch' },
  { type: 'switched', epoch, tookMs: 1 },
];
/** The machine follows its branch at sequence 5. */
const following = play(
  [offered(1, OLD), ...way(1), { type: 'verified', epoch: 1, tookMs: 1, note: null }, { type: 'committed', epoch: 1, tookMs: 1 }],
  emptyJournal(0),
).journal;
const begun: AgentEvent[] = [offered(2, TRIED, { trial, sequence: 9 }), ...way(2)];
const over: AgentEvent = { type: 'trial-over', epoch: 2, detail };
const wentBack: AgentEvent = { type: 'rolled-back', epoch: 2, tookMs: 1, hasContact: true };
const trying = play([...begun, { type: 'verified', epoch: 2, tookMs: 1, note: null }], following);

test('a trial that works runs, is not committed, and accepts no sequence', () => {
  expect([trying.journal.state, jobsOf(trying.effects)]).toEqual(['TRYING', []]);
  expect(acceptedSequence(trying.journal, 'r', 'refs/heads/main')).toBe(5);
});

test('a system of a lower sequence can be tried, and does not lower what was accepted', () => {
  const { journal } = play([offered(2, TRIED, { trial, sequence: 1 })], following);
  expect(journal).toMatchObject({ state: 'OFFERED', directive: { epoch: 2 } });
  expect(acceptedSequence(journal, 'r', 'refs/heads/main')).toBe(5);
  expect(play([offered(3, NEXT, { sequence: 4 })], journal).journal).toBe(journal);
});

test('every way to end a trial leads back to the recorded system, without a quarantine', () => {
  const ends: AgentEvent[] = [
    over,
    { type: 'rollback-asked', target: THIRD },
    { type: 'resumed' },
    { type: 'restarted', isNewBoot: false, isOnTarget: false, fellBack: false },
    { type: 'restarted', isNewBoot: true, isOnTarget: true, fellBack: false },
  ];
  for (const event of ends) {
    const step = play([event], trying.journal);
    expect([step.journal.state, step.journal.before?.toplevel, jobsOf(step.effects)], event.type).toEqual(['ROLLING_BACK', OLD, ['roll-back']]);
    const { journal } = play([wentBack], step.journal);
    expect(journal, event.type).toMatchObject({ state: 'IDLE', quarantined: [], override: null });
  }
});

test('another directive ends a trial and begins after it, also while the checks of the trial run', () => {
  const late = play([...begun, offered(3, NEXT), { type: 'verified', epoch: 2, tookMs: 1, note: null }], following);
  for (const step of [play([offered(3, NEXT)], trying.journal), late]) {
    expect(step.journal).toMatchObject({ state: 'ROLLING_BACK', pending: { epoch: 3 } });
    const back = play([wentBack], step.journal);
    expect(back.effects).toContainEqual({ type: 'take-pending' });
    expect(play([{ type: 'pending-due' }], back.journal).journal).toMatchObject({ state: 'OFFERED', directive: { epoch: 3, trial: null } });
  }
});

test('a restart of the agent keeps a trial, and a restart of the machine ends it without a change', () => {
  expect(play([{ type: 'restarted', isNewBoot: false, isOnTarget: true, fellBack: false }], trying.journal)).toEqual({
    journal: trying.journal,
    effects: [],
  });
  const booted = play([{ type: 'restarted', isNewBoot: true, isOnTarget: false, fellBack: false }], trying.journal);
  expect([booted.journal.state, jobsOf(booted.effects)]).toEqual(['IDLE', []]);
});

test('a trial that fails is rolled back and quarantines nothing: the fleet may bring the same system', () => {
  const failed = play([...begun, { type: 'verify-failed', epoch: 2, tookMs: 1, detail, isContactLost: false }, wentBack], following).journal;
  expect(failed).toMatchObject({ state: 'IDLE', quarantined: [], detail: { code: 'TRIAL_FAILED' } });
  expect(play([offered(3, TRIED)], failed).journal).toMatchObject({ state: 'OFFERED', directive: { trial: null } });
});

test('a system that needs a restart is not tried', () => {
  const clear = way(2).slice(0, 4);
  const atOnce = play([offered(2, TRIED, { trial }), ...clear, { type: 'cleared', epoch: 2, before, how: 'boot' }], following);
  expect([atOnce.journal.state, atOnce.journal.detail?.code, jobsOf(atOnce.effects)]).toEqual(['REJECTED', 'TRIAL_NEEDS_RESTART', []]);
  const found = play([...begun.slice(0, -1), { type: 'restart-needed', epoch: 2, detail }], following);
  expect([found.journal.state, jobsOf(found.effects)]).toEqual(['ROLLING_BACK', ['roll-back']]);
  expect(play([wentBack], found.journal).journal).toMatchObject({ state: 'REJECTED', detail: { code: 'TRIAL_NEEDS_RESTART' }, boot: null });
});

test('a trial ends before it begins: by its end, or by a user, without a change of the machine', () => {
  const states = begun.slice(0, 5).map((_, index) => play(begun.slice(0, index + 1), following).journal);
  expect(new Set(states.map(({ state }) => state))).toEqual(new Set(['OFFERED', 'DOWNLOADING', 'STAGED', 'PRECHECK']));
  for (const journal of states) {
    const step = play([over], journal);
    expect([step.journal.state, jobsOf(step.effects), step.effects[0]?.type]).toEqual(['IDLE', [], 'stop-job']);
    if (journal.state !== 'PRECHECK') expect(play([{ type: 'rollback-asked', target: THIRD }], journal).journal.state).toBe('IDLE');
  }
});

test("a user's switch during a trial: back ends it, and a third system is kept as their choice", () => {
  const override = { since: 1, by: 'switch' as const };
  expect(play([{ type: 'overridden', override: { ...override, toplevel: OLD } }], trying.journal).journal).toMatchObject({
    state: 'IDLE',
    override: null,
  });
  const third = play([{ type: 'overridden', override: { ...override, toplevel: THIRD } }], trying.journal).journal;
  expect(third).toMatchObject({ state: 'IDLE', override: { toplevel: THIRD } });
  // "floe-agent resume" does not begin the trial again.
  expect(play([{ type: 'resumed' }], third).journal).toMatchObject({ state: 'IDLE', override: null });
});

test('a trial does not replace a system that a user chose, now or after a change', () => {
  const chosen = play([{ type: 'overridden', override: { toplevel: THIRD, since: 1, by: 'switch' } }], following).journal;
  const asked = play([offered(2, TRIED, { trial })], chosen);
  expect([asked.journal.state, asked.journal.override?.toplevel, asked.journal.pending]).toEqual(['IDLE', THIRD, null]);
  expect(asked.effects).toMatchObject([{ type: 'report', state: 'REJECTED', epoch: 2, detail: { code: 'LOCAL_OVERRIDE' } }]);
  const waiting = play([offered(2, NEXT), ...way(2).slice(0, 5), offered(3, TRIED, { trial })], following).journal;
  const midway = play([{ type: 'overridden', override: { toplevel: THIRD, since: 1, by: 'switch' } }, { type: 'pending-due' }], waiting).journal;
  expect(midway).toMatchObject({ state: 'IDLE', override: { toplevel: THIRD }, pending: null });
});

test('a quarantined system is not tried, whatever the directive says', () => {
  const quarantined = { ...following, quarantined: [TRIED] };
  for (const isRetry of [false, true]) expect(play([offered(2, TRIED, { trial, isRetry })], quarantined).journal).toBe(quarantined);
});
