import type { AgentDetail, AgentDirective, AgentEvent, AgentJournal, AgentWait, StorePath } from '@floe/model';
import type { DownloadProgress } from '@floe/nix';
import type { Clock, Exec, Logger } from '@floe/runtime';
import { longestHealthCheckMs, type HealthCheckOptions } from '../health/health-checks.ts';
import type { ActivationPlan, Machine } from '../machines/machine.ts';
import type { Contact } from '../server/contact.ts';
import type { Assessment } from '../when/conditions.ts';

export interface JobSettings {
  /** `http(s)://…`, without a slash at the end. */
  readonly serverUrl: string;
  readonly substituters: readonly string[];
  readonly cachePublicKeys: readonly string[];
  /** Less free room than this, in bytes, and nothing is downloaded or switched. */
  readonly minFreeBytes: number;
  /** How long a check may fail after a switch before it counts, in ms. */
  readonly healthGraceMs: number;
  /** How long services get after a switch to show that they stay up, in ms. */
  readonly settleMs: number;
  /** How long the server may take to answer after a switch, in ms. */
  readonly contactTimeoutMs: number;
  /** So long, in ms, the server may be away after a switch that was judged without it; 0: for ever. */
  readonly serverLimitMs: number;
  /** A switch that takes longer, in ms, is ended and undone. */
  readonly switchLimitMs: number;
  /** How long the machine may take to start, until the agent runs, in ms. */
  readonly bootLimitMs: number;
}

export interface JobDeps {
  readonly machine: Machine;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The time that waits are measured by, ms. */
  readonly now: () => number;
  readonly settings: JobSettings;
  /** Whom this machine reaches on new connections within that time. */
  readonly contact: (timeoutMs: number, signal: AbortSignal) => Promise<Contact>;
  /** Why nothing is to be downloaded now; null: it may be. */
  readonly holdDownload: (journal: AgentJournal) => Promise<AgentWait | null>;
  /** How disruptive the switch would be, and what it waits for. */
  readonly assess: (journal: AgentJournal, directive: AgentDirective, signal: AbortSignal) => Promise<Assessment>;
  readonly onProgress: (epoch: number, progress: DownloadProgress) => void;
}

/** One job of the state machine on the machine. What was foreseen is the event that it ends with; what was not, it throws. */
export type Job = (deps: JobDeps, journal: AgentJournal, directive: AgentDirective, signal: AbortSignal) => Promise<AgentEvent>;

/** A restart that has not ended this agent after so long did not happen. */
export const REBOOT_TAKES_MS = 10 * 60_000;

/** A start would try the system, and nothing would take it back. */
export const NO_BOOT_GUARD: AgentDetail = {
  code: 'NO_BOOT_GUARD',
  message: 'it takes effect with a restart, but has no floe-boot-guard.service to take it back if it fails: it needs the module of floe-agent',
};

/** Another switch keeps this one from being begun; null when nobody says which. */
export function switchHeld(heldBy: string | null): AgentDetail {
  const message = `another switch is under way: ${heldBy ?? 'it'} holds its lock; tried again when it has ended, and if it is stuck, it is ended`;
  return { code: 'SWITCH_HELD', message };
}

/** Somebody switched the machine to `toplevel` in the middle of a change. */
export function switchedByHand({ now }: Pick<JobDeps, 'now'>, toplevel: StorePath | null): AgentEvent {
  return { type: 'overridden', override: { toplevel, since: now(), by: 'switch' } };
}

/** What downloads depend on, to be compared. */
export function cacheOf({ substituters, cachePublicKeys }: JobSettings): string {
  return [...substituters, ...cachePublicKeys].join(' ');
}

const HEALTH_PASSES = 3;
/** What a busy machine may take beside the limits of the single steps. */
const WATCHDOG_MARGIN_MS = 20_000;
/** After the checks systemd is asked which units failed, twice if it must be. */
const UNITS_MS = 21_000;

/** How long the server is waited for, in ms: after a start of the machine its network may take as long as the start did. */
export function contactLimitMs({ isStart }: { readonly isStart: boolean }, { contactTimeoutMs, bootLimitMs }: JobSettings): number {
  return isStart ? Math.max(contactTimeoutMs, bootLimitMs) : contactTimeoutMs;
}

/** What is armed before the machine is changed; null when there is nothing to go back to. */
export async function planActivation(
  { machine, settings }: JobDeps,
  { activation, before }: AgentJournal,
  toplevel: StorePath,
): Promise<ActivationPlan | null> {
  if (before === null || before.toplevel === null) return null;
  const { switchLimitMs, bootLimitMs } = settings;
  const checksMs = await longestHealthCheckMs(machine, toplevel, healthLimits(settings));
  const untilVerdict = (contactMs: number): number => Math.max(checksMs, settings.settleMs, contactMs) + UNITS_MS + WATCHDOG_MARGIN_MS;
  const beforeProfile = before.profile ?? before.toplevel;
  const switchMs = switchLimitMs + WATCHDOG_MARGIN_MS;
  const verdictMs = untilVerdict(contactLimitMs({ isStart: false }, settings));
  const bootMs = bootLimitMs + untilVerdict(contactLimitMs({ isStart: true }, settings));
  return { activation, toplevel, before: before.toplevel, beforeProfile, switchMs, verdictMs, bootMs };
}

/** How often, and how long, the checks of a system are made before they count. */
export function healthLimits({ settleMs, healthGraceMs }: JobSettings): Omit<HealthCheckOptions, 'signal'> {
  return { passes: HEALTH_PASSES, pauseMs: settleMs / HEALTH_PASSES, graceMs: healthGraceMs };
}
