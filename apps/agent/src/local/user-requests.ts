import { isActivating, type AgentEvent, type AgentJournal, type StorePath } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';
import type { ClosureChanges } from '@floe/nix';
import type { Clock } from '@floe/runtime';
import type { HostName } from '@floe/protocol';
import type { Machine } from '../machines/machine.ts';
import { noticeOf } from './notice.ts';
import type { Notice } from './protocol.ts';
import type { Refused, UserRequests } from './requests.ts';

/** What users of the machine see of the agent, and ask of it. */
export interface LocalAgent {
  readonly journal: AgentJournal;
  /** The time that waits are measured by, ms. */
  now(): number;
  /** Since when it is as it is, ms by the machine's clock; null: never was connected. */
  readonly connection: { readonly isConnected: boolean; readonly since: number | null };
  /**
   * Decides on the event, and returns when that is written down. False when it came too late: the agent had gone on
   * meanwhile, to where nothing is done about it.
   */
  ask(event: AgentEvent): Promise<boolean>;
  /** Calls `listener` after each step; returns how to end it. */
  onStep(listener: () => void): () => void;
}

export interface UserRequestsDeps {
  readonly agent: LocalAgent;
  readonly machine: Machine;
  readonly host: HostName;
  readonly serverUrl: string;
  readonly agentVersion: string;
  readonly readPolicy: () => Promise<AgentPolicy>;
  readonly closureChanges: (before: StorePath, after: StorePath, signal: AbortSignal) => Promise<ClosureChanges>;
  readonly clock: Clock;
}

/** States in which a system waits for its time. */
const WAITING = new Set(['STAGED', 'DEFERRED', 'BOOT_STAGED']);

const GONE_ON = 'the system does not wait any more, see "floe-agent status"';
const BUSY = 'the system is being changed right now: wait for its end';

function refused(code: string, message: string): Refused {
  return { kind: 'refused', code, message };
}

/** What people at the machine ask of the agent, and what it tells them. Limits are enforced here. */
export function createUserRequests(deps: UserRequestsDeps): UserRequests {
  const { agent, machine, clock } = deps;

  async function laterLeft(journal: AgentJournal): Promise<number> {
    const { later } = await deps.readPolicy();
    return Math.max(0, later.maxCount - (journal.deferral?.laterCount ?? 0));
  }

  return {
    async status() {
      const { journal, connection } = agent;
      const { state, since, detail, directive, deferral, quarantined, override } = journal;
      const isWaiting = state === 'DEFERRED' || state === 'BOOT_STAGED';
      const { toplevel, commit, sequence } = directive?.release ?? {};
      return {
        host: deps.host,
        server: { url: deps.serverUrl, connected: connection.isConnected, since: connection.since },
        state,
        since,
        detail,
        waiting: isWaiting && detail !== null ? { ...detail, until: deferral?.laterUntil ?? null } : null,
        laterLeft: await laterLeft(journal),
        desired: toplevel === undefined || commit === undefined || sequence === undefined ? null : { toplevel, commit, sequence },
        observed: await machine.observe(),
        quarantined: [...quarantined],
        override,
        agentVersion: deps.agentVersion,
      };
    },

    async later(minutes) {
      const policy = await deps.readPolicy();
      const { grantLater } = await import('../when/deferral.ts');
      // Looked at last: from here to the question nothing is waited for.
      const { deferral, state, since } = agent.journal;
      if (!WAITING.has(state) || deferral === null) return refused('NOTHING_WAITS', 'there is no system that waits: nothing is to be put off');
      const isRestart = state === 'BOOT_STAGED';
      const granted = grantLater({
        policy,
        deferral: isRestart ? { ...deferral, since: deferral.restartSince ?? since } : deferral,
        requestedMinutes: minutes ?? policy.later.maxMinutes,
        now: agent.now(),
        deadlineHours: isRestart ? policy.reboot.deadlineHours : policy.deadlineHours,
      });
      if (granted.kind === 'refused') return refused(granted.code, granted.message);
      const { laterCount, laterUntil } = granted.deferral;
      const isTaken = await agent.ask({ type: 'deferral-changed', deferral: { ...deferral, laterCount, laterUntil, isOverruled: false } });
      if (!isTaken) return refused('TOO_LATE', `too late to put it off: ${GONE_ON}`);
      return { kind: 'ok', until: granted.until, laterLeft: await laterLeft(agent.journal) };
    },

    async now() {
      const { deferral, state, directive } = agent.journal;
      if (!WAITING.has(state) || deferral === null) return refused('NOTHING_WAITS', 'there is no system that waits');
      const isTaken = await agent.ask({ type: 'deferral-changed', deferral: { ...deferral, laterUntil: null, isOverruled: true } });
      if (!isTaken) return refused('TOO_LATE', GONE_ON);
      return { kind: 'ok', toplevel: directive?.release.toplevel ?? null };
    },

    async rollback() {
      const { journal } = agent;
      const { previous, state } = journal;
      if (isActivating(state)) return refused('BUSY', BUSY);
      if (previous === null) return refused('NO_PREVIOUS_SYSTEM', 'this agent knows no earlier system of this machine');
      if ((await machine.observe()).current === previous) return refused('ALREADY_BACK', 'the system before runs already');
      if (!(await machine.isValid(previous))) {
        return refused('PREVIOUS_SYSTEM_GONE', `the system before (${previous}) is not in the store any more: it was garbage-collected`);
      }
      const isTaken = await agent.ask({ type: 'rollback-asked', target: previous });
      if (!isTaken) return refused('BUSY', BUSY);
      return { kind: 'ok', toplevel: previous };
    },

    async resume() {
      const { override, directive } = agent.journal;
      if (override === null) return refused('NOT_OVERRIDDEN', 'this machine already follows its fleet');
      if (!(await agent.ask({ type: 'resumed' }))) {
        if (agent.journal.override === null) return refused('NOT_OVERRIDDEN', 'this machine follows its fleet again already');
        return refused('NOTHING_DESIRED', 'nothing is desired of this machine that it could go on to');
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
      const tell = (): void => {
        const notice = noticeOf(agent.journal, clock.now());
        if (shown !== undefined && notice?.id === shown?.id) return;
        shown = notice;
        listener(notice);
      };
      tell();
      return agent.onStep(tell);
    },
  };
}
