import type { AgentDetail, AgentDirective, AgentImpact, AgentJournal, AgentWait, WaitFacts } from '@floe/model';
import type { AgentPolicy } from '@floe/protocol';
import type { Clock, Exec, Logger } from '@floe/runtime';
import type { Machine } from '../machines/machine.ts';
import { gatherFacts, type MachineFacts } from './facts.ts';
import { readImpact, toplevelFiles, type ImpactReport } from './impact.ts';
import type { Judgement } from './judge.ts';

/** How disruptive a switch would be, and what it waits for; `wait` null: nothing. */
export interface Assessment {
  readonly impact: AgentImpact;
  readonly wait: AgentWait | null;
}

export interface RebootJudgement {
  readonly isDue: boolean;
  /** Why it is, or why not. */
  readonly detail: AgentDetail;
  /** When the answer may change by itself, ms; null: not known. */
  readonly until: number | null;
}

/** When this machine may be changed, by its own policy. `now` is ms. */
export interface Conditions {
  /** Why a download must wait; null: it need not. */
  holdDownload(journal: AgentJournal, now: number): Promise<AgentWait | null>;
  assess(journal: AgentJournal, directive: AgentDirective, now: number, signal: AbortSignal): Promise<Assessment>;
  /** Whether a machine may restart into the system that is staged for its next start. `isTimeKnown`: `now` is the server's. */
  mayReboot(journal: AgentJournal, now: number, options: { readonly isTimeKnown: boolean }): Promise<RebootJudgement>;
  /** Whether a user is logged in. */
  isSomeoneHere(): Promise<boolean>;
}

/** For a folder or a profile, which no user sits at. */
export const NO_CONDITIONS: Conditions = {
  holdDownload: async () => await Promise.resolve(null),
  assess: async () => await Promise.resolve({ impact: 'none', wait: null }),
  isSomeoneHere: async () => await Promise.resolve(false),
  mayReboot: async () =>
    await Promise.resolve({ isDue: false, detail: { code: 'REBOOT_LEFT_TO_PEOPLE', message: 'this target has no restart' }, until: null }),
};

export interface ConditionsDeps {
  readonly machine: Machine;
  readonly readPolicy: () => Promise<AgentPolicy>;
  readonly exec: Exec;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly logger: Logger;
  /** IANA name, of the times in messages. */
  readonly timeZone: () => string;
  /** Where the machine's files are. Default: '', the machine itself. */
  readonly root?: string;
}

/** Time limit for each fact about the machine, in ms. */
const FACTS_TIMEOUT_MS = 5_000;

/** The conditions of a NixOS machine: what a switch would disrupt, and what the machine and its users do now. */
export function createConditions(deps: ConditionsDeps): Conditions {
  const { machine, readPolicy, logger, timeZone, root = '' } = deps;
  let known: { readonly key: string; readonly report: ImpactReport } | undefined;

  /** Remembered per pair of systems, as a waiting system is assessed every minute. */
  async function impactOf(directive: AgentDirective, signal: AbortSignal): Promise<ImpactReport> {
    const { current, booted } = await machine.observe();
    const next = directive.release.toplevel;
    const key = `${current} ${booted} ${next}`;
    if (known?.key === key) return known.report;
    const dryActivate = await machine.dryActivate(next, signal);
    const report = await readImpact(toplevelFiles(root), { booted, current, next, dryActivate });
    logger.info('what the switch would do', { impact: report.impact, reason: report.reason });
    // A dry activation that did not run (another switch had the lock, or the job was stopped) may run the next time.
    if (dryActivate !== null || report.impact === 'reboot') known = { key, report };
    return report;
  }

  async function isSomeoneHere(): Promise<boolean> {
    const { sessions } = await facts(AbortSignal.timeout(FACTS_TIMEOUT_MS));
    return (sessions ?? []).length > 0;
  }

  async function facts(signal: AbortSignal): Promise<MachineFacts> {
    return await gatherFacts({ ...deps, root, timeoutMs: FACTS_TIMEOUT_MS, signal });
  }

  return {
    isSomeoneHere,
    async assess(journal, directive, now, signal) {
      const { impact } = await impactOf(directive, signal);
      const { deferral } = journal;
      // An administrator's retry does not wait.
      if (deferral === null || deferral.isOverruled || directive.isRetry) return { impact, wait: null };
      const policy = await readPolicy();
      // Loaded when needed: an idle agent needs no calendar code.
      const { judgeActivation } = await import('./judge.ts');
      const judgement = judgeActivation({
        policy,
        impact,
        facts: await facts(signal),
        deferral,
        now,
        urgent: directive.urgent,
        timeZone: timeZone(),
      });
      if (judgement.kind === 'clear') {
        if (judgement.because !== null) logger.warn('going ahead', { because: judgement.because });
        return { impact, wait: null };
      }
      return { impact, wait: { detail: detailOf('switch', judgement), until: judgement.until } };
    },

    async holdDownload({ deferral, directive }, now) {
      const policy = await readPolicy();
      if (policy.metered === 'ignore' || directive?.isRetry === true || deferral?.isOverruled === true) return null;
      const { judgeDownload } = await import('./judge.ts');
      const since = deferral?.since ?? now;
      const waiting = { since, laterCount: 0, laterUntil: null };
      const judgement = judgeDownload({
        policy,
        facts: await facts(AbortSignal.timeout(60_000)),
        deferral: waiting,
        now,
        urgent: directive?.urgent,
        timeZone: timeZone(),
      });
      if (judgement.kind === 'wait') return { detail: detailOf('download', judgement), until: judgement.until };
      if (judgement.because !== null) logger.warn('downloading', { because: judgement.because });
      return null;
    },

    async mayReboot(journal, now, { isTimeKnown }) {
      const policy = await readPolicy();
      const { deferral, since, directive } = journal;
      const due = (message: string): RebootJudgement => ({ isDue: true, detail: { code: 'RESTARTING', message }, until: null });
      if (deferral?.isOverruled === true) return due('a user wants the restart now');
      const staged = { since: deferral?.restartSince ?? since, laterCount: deferral?.laterCount ?? 0, laterUntil: deferral?.laterUntil ?? null };
      const { judgeReboot } = await import('./judge.ts');
      const judgement = judgeReboot({
        policy,
        facts: await facts(AbortSignal.timeout(60_000)),
        deferral: staged,
        now,
        urgent: directive?.urgent,
        timeZone: timeZone(),
      });
      if (judgement.kind === 'clear') {
        const { because } = judgement;
        if (because === null || isTimeKnown) return due(because ?? 'the policy of this machine allows it now');
        // The machine's own clock may be years off: it must not end a user's session.
        return {
          isDue: false,
          detail: { code: 'TIME_UNKNOWN', message: `the next start runs it; the time is unknown until the server answers: ${because}` },
          until: null,
        };
      }
      const detail = detailOf('restart', judgement);
      return { isDue: false, detail: { ...detail, message: `the next start runs it; ${detail.message}` }, until: judgement.until };
    },
  };
}

function detailOf(what: WaitFacts['what'], { code, message, facts }: Extract<Judgement, { kind: 'wait' }>): AgentDetail {
  return { code, message, wait: { what, ...facts } };
}
