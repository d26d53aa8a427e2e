import { isActivating, isTrialOpen, urgencyOf, type AgentDetail, type AgentEvent, type AgentJournal, type StorePath } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';
import type { ClosureChanges } from '@floe/nix';
import type { Clock } from '@floe/runtime';
import type { HostName } from '@floe/protocol';
import type { Machine } from '../machines/machine.ts';
import { askedBy } from '../when/asked-by.ts';
import { noticeChangesAt, noticeOf } from './notice.ts';
import type { Running } from '../state/running-text.ts';
import type { DeferralTimes } from '../when/deferral.ts';
import type { Language } from '../text/words/languages.ts';
import type { Notice } from './protocol.ts';
import type { Refused, UserRequests } from './requests.ts';

/** What users of the machine see of the agent, and ask of it. */
export interface LocalAgent {
  readonly journal: AgentJournal;
  /** The clock of waits and deadlines, ms. */
  now(): number;
  readonly connection: {
    readonly isConnected: boolean;
    /** When it was made or lost, ms by the machine's clock; null: there was none yet. */
    readonly since: number | null;
    /** Why there is none, and what to do. */
    readonly refusal: AgentDetail | null;
  };
  /** Who answers in the server's place, in words; null: nobody, as far as is known. */
  stranger(): Promise<string | null>;
  /**
   * Puts the event through the state machine; returns when the result is on disk. False: it came too late, as the agent's state
   * now ignores it.
   */
  ask(event: AgentEvent): Promise<boolean>;
  /** Calls `listener` after each step; returns a function that ends this. */
  onStep(listener: () => void): () => void;
}

export interface UserRequestsDeps {
  readonly agent: LocalAgent;
  readonly machine: Machine;
  /** What runs, and its commit. */
  readonly running: () => Promise<Running | null>;
  readonly host: HostName;
  readonly serverUrl: string;
  readonly agentVersion: string;
  readonly readPolicy: () => Promise<AgentPolicy>;
  readonly closureChanges: (before: StorePath, after: StorePath, signal: AbortSignal) => Promise<ClosureChanges>;
  readonly clock: Clock;
  /** IANA name, of the times in notices. */
  readonly timeZone: () => string;
  /** The machine's, of notices on terminals. */
  readonly language: Language;
}

/** States in which a system waits for its time. */
const WAITING = new Set(['STAGED', 'DEFERRED', 'BOOT_STAGED']);

/** How often to look whether the users who put an update off are to be asked again, in ms. */
const LOOK_EVERY_MS = 60_000;

const GONE_ON = 'the system no longer waits, see "floe-agent status"';
const BUSY = 'the system is being changed now: wait for the end of that';

/** What waits, and its deadline: the switch, or the restart into a staged system; undefined: nothing does. */
function waitOf(
  { state, since, deferral }: AgentJournal,
  policy: AgentPolicy,
): { deferral: DeferralTimes; deadlineHours: number | null } | undefined {
  if (!WAITING.has(state) || deferral === null) return undefined;
  if (state !== 'BOOT_STAGED') return { deferral, deadlineHours: policy.deadlineHours };
  return { deferral: { ...deferral, since: deferral.restartSince ?? since }, deadlineHours: policy.reboot.deadlineHours };
}

function refused(code: string, message: string): Refused {
  return { kind: 'refused', code, message };
}

function toldOf(detail: AgentDetail | null): { code: string; message: string } | null {
  return detail === null ? null : { code: detail.code, message: detail.message };
}

/** Answers the requests of the machine's users. Enforces the policy's limits. */
export function createUserRequests(deps: UserRequestsDeps): UserRequests {
  const { agent, machine, clock } = deps;

  /** How often users can still put off what waits; 0: nothing does. */
  async function left(journal: AgentJournal): Promise<number> {
    const policy = await deps.readPolicy();
    const { laterLeft, deadlineOf } = await import('../when/deferral.ts');
    const wait = waitOf(journal, policy);
    return wait === undefined ? 0 : laterLeft({ policy, deferral: wait.deferral, now: agent.now() }, deadlineOf(wait.deferral, wait.deadlineHours));
  }

  /** The machine goes back to what it had before the trial, or keeps it where the trial has not begun. */
  async function endTrial({ before, state }: AgentJournal): ReturnType<UserRequests['rollback']> {
    const back = state === 'TRYING' ? (before?.toplevel ?? null) : (await machine.observe()).current;
    if (back === null) return refused('NO_PREVIOUS_SYSTEM', 'this agent has no record of an earlier system');
    const isTaken = await agent.ask({ type: 'rollback-asked', target: back });
    return isTaken ? { kind: 'ok', toplevel: back } : refused('BUSY', BUSY);
  }

  return {
    async status() {
      const { journal, connection } = agent;
      const { state, since, detail, directive, deferral, quarantined, override } = journal;
      const isWaiting = state === 'DEFERRED' || state === 'BOOT_STAGED';
      const { toplevel, commit, sequence } = directive?.release ?? {};
      const told = toldOf(detail);
      const urgent = WAITING.has(state) || isActivating(state) ? urgencyOf(journal, agent.now()) : undefined;
      return {
        host: deps.host,
        server: {
          url: deps.serverUrl,
          connected: connection.isConnected,
          since: connection.since,
          stranger: await agent.stranger(),
          refusal: toldOf(connection.refusal),
        },
        state,
        since,
        detail: told,
        waiting: isWaiting && told !== null ? { ...told, until: deferral?.laterUntil ?? null } : null,
        wait: detail?.wait ?? null,
        urgent: urgent === undefined ? null : { level: urgent.level, by: urgent.by, reason: urgent.reason, until: urgent.until },
        laterLeft: urgent === undefined ? await left(journal) : 0,
        desired: toplevel === undefined || commit === undefined || sequence === undefined ? null : { toplevel, commit, sequence },
        trial: isTrialOpen(journal) && directive?.trial != null ? { endsAt: directive.trial.endsAt } : null,
        observed: await machine.observe(),
        running: await deps.running(),
        quarantined: [...quarantined],
        override,
        agentVersion: deps.agentVersion,
      };
    },

    async later(minutes) {
      const policy = await deps.readPolicy();
      const { grantLater } = await import('../when/deferral.ts');
      // Read the journal last: from here to `ask` nothing is awaited.
      const { deferral } = agent.journal;
      const wait = waitOf(agent.journal, policy);
      if (wait === undefined || deferral === null) return refused('NOTHING_WAITS', 'no system waits, so there is nothing to defer');
      const urgent = urgencyOf(agent.journal, agent.now());
      if (urgent !== undefined) return refused('ADMINISTRATOR_ASKS', `it cannot be deferred: ${askedBy(urgent)}`);
      const granted = grantLater({ ...wait, policy, requestedMinutes: minutes ?? policy.later.maxMinutes, now: agent.now() });
      if (granted.kind === 'refused') return refused(granted.code, granted.message);
      const { laterCount, laterUntil } = granted.deferral;
      const isTaken = await agent.ask({ type: 'deferral-changed', deferral: { ...deferral, laterCount, laterUntil, isOverruled: false } });
      if (!isTaken) return refused('TOO_LATE', `too late to defer it: ${GONE_ON}`);
      return { kind: 'ok', until: granted.until, laterLeft: await left(agent.journal) };
    },

    async now() {
      const { deferral, state, directive } = agent.journal;
      if (!WAITING.has(state) || deferral === null) return refused('NOTHING_WAITS', 'no system waits');
      const isTaken = await agent.ask({ type: 'deferral-changed', deferral: { ...deferral, laterUntil: null, isOverruled: true } });
      if (!isTaken) return refused('TOO_LATE', GONE_ON);
      return { kind: 'ok', toplevel: directive?.release.toplevel ?? null };
    },

    async rollback() {
      const { journal } = agent;
      const { previous, state } = journal;
      if (isActivating(state)) return refused('BUSY', BUSY);
      if (isTrialOpen(journal)) return await endTrial(journal);
      if (previous === null) return refused('NO_PREVIOUS_SYSTEM', 'this agent has no record of an earlier system');
      if ((await machine.observe()).current === previous) return refused('ALREADY_BACK', 'the previous system runs already');
      if (!(await machine.isValid(previous))) {
        return refused('PREVIOUS_SYSTEM_GONE', 'the previous system is no longer on this machine: it was removed to free space');
      }
      const isTaken = await agent.ask({ type: 'rollback-asked', target: previous });
      if (!isTaken) return refused('BUSY', BUSY);
      return { kind: 'ok', toplevel: previous };
    },

    async resume() {
      const { override, directive, state } = agent.journal;
      if (override === null && state !== 'TRYING') return refused('NOT_OVERRIDDEN', 'this machine already follows its fleet');
      if (!(await agent.ask({ type: 'resumed' }))) {
        if (agent.journal.override === null) return refused('NOT_OVERRIDDEN', 'this machine already follows its fleet');
        return refused('NOTHING_DESIRED', 'there is no system of the fleet that this machine could switch to');
      }
      return { kind: 'ok', toplevel: directive?.release.toplevel ?? null };
    },

    async changes(signal) {
      const { journal } = agent;
      const { current } = await machine.observe();
      const next = journal.directive?.release.toplevel;
      const isNext = WAITING.has(journal.state) && next !== undefined && current !== null;
      const pair = isNext ? { before: current, after: next } : { before: journal.previous, after: current };
      if (pair.before === null || pair.after === null) return refused('NO_PREVIOUS_SYSTEM', 'there is no earlier system to compare with');
      const { before, after } = pair;
      const { packages, ...counts } = await deps.closureChanges(before, after, signal);
      const listed = packages.map((each) => ({ ...each, before: [...each.before], after: [...each.after] }));
      return { kind: 'ok', subject: isNext ? 'next' : 'last', before, after, packages: listed, ...counts };
    },

    notices(listener) {
      let shown: Notice | null | undefined;
      const ended = new AbortController();
      let waiting = new AbortController();
      const update = (): void => {
        const { journal } = agent;
        const now = agent.now();
        const notice = noticeOf(journal, { now, timeZone: deps.timeZone(), language: deps.language });
        const changesAt = noticeChangesAt(journal, now);
        waiting.abort();
        waiting = new AbortController();
        // At most a minute: machines sleep, and clocks are set.
        if (changesAt !== null) void lookAgain(Math.min(Math.max(changesAt - now, 1_000), LOOK_EVERY_MS), waiting.signal);
        if (shown !== undefined && notice?.id === shown?.id) return;
        shown = notice;
        listener(notice);
      };
      const lookAgain = async (ms: number, signal: AbortSignal): Promise<void> => {
        await clock.sleep(ms, AbortSignal.any([signal, ended.signal]));
        if (!signal.aborted && !ended.signal.aborted) update();
      };
      update();
      const end = agent.onStep(update);
      return () => {
        end();
        ended.abort();
      };
    },
  };
}
