import type { AgentDetail, AgentDirective, AgentEvent, AgentJournal, AgentWait, StorePath } from '@floe/model';
import type { DownloadProgress } from '@floe/nix';
import type { Clock, Exec, Logger } from '@floe/runtime';
import { longestHealthCheckMs, type HealthCheckOptions } from '../health/health-checks.ts';
import type { ActivationPlan, Machine } from '../machines/machine.ts';
import type { FoundContact } from '../server/contact.ts';
import type { WhoAnswers } from '../server/network.ts';
import type { Assessment } from '../when/conditions.ts';

export interface JobSettings {
  /** `http(s)://…`, without a slash at the end. */
  readonly serverUrl: string;
  /** Through which the server is reached; undefined: directly. */
  readonly proxy: URL | undefined;
  readonly substituters: readonly string[];
  readonly cachePublicKeys: readonly string[];
  /** Of downloads; undefined: no limit. */
  readonly maxBytesPerSecond: number | undefined;
  /** With less free space than this, in bytes, the agent neither downloads nor switches. */
  readonly minFreeBytes: number;
  /** How long a health check may fail after a switch before that counts, in ms. */
  readonly healthGraceMs: number;
  /** How long services must stay up after a switch, in ms. */
  readonly settleMs: number;
  /** How long the server may take to answer after a switch, in ms. */
  readonly contactTimeoutMs: number;
  /** How long the server may be away after a switch that only the local checks judged, in ms; 0: forever. */
  readonly serverLimitMs: number;
  /** A switch that takes longer, in ms, is ended and rolled back. */
  readonly switchLimitMs: number;
  /** How long a start of the machine may take until the agent runs, in ms. */
  readonly bootLimitMs: number;
}

export interface JobDeps {
  readonly machine: Machine;
  readonly exec: Exec;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The clock of waits and deadlines, ms. */
  readonly now: () => number;
  readonly settings: JobSettings;
  /** What a new connection shows within `timeoutMs`. */
  readonly contact: (timeoutMs: number, signal: AbortSignal) => Promise<FoundContact>;
  /** Who answers at the addresses of the caches, also when they are asked for the path `about`. */
  readonly whoAnswers: (signal: AbortSignal, about?: StorePath) => Promise<WhoAnswers>;
  /** See {@link readRouters}. */
  readonly routers: () => Promise<readonly string[]>;
  /** Why a download must wait; null: it need not. */
  readonly holdDownload: (journal: AgentJournal) => Promise<AgentWait | null>;
  /** How disruptive the switch would be, and what it waits for. */
  readonly assess: (journal: AgentJournal, directive: AgentDirective, signal: AbortSignal) => Promise<Assessment>;
  readonly onProgress: (epoch: number, progress: DownloadProgress) => void;
}

/** One job of the state machine. Expected results are events; anything else it throws. */
export type Job = (deps: JobDeps, journal: AgentJournal, directive: AgentDirective, signal: AbortSignal) => Promise<AgentEvent>;

/** If this agent still runs after this long, the machine did not restart. */
export const REBOOT_TAKES_MS = 10 * 60_000;

/** The system has no boot guard, so nothing would roll it back if its start failed. */
export const NO_BOOT_GUARD: AgentDetail = {
  code: 'NO_BOOT_GUARD',
  message:
    'the system needs a restart, but has no floe-boot-guard.service that would roll it back if its start failed: add the NixOS module of floe-agent to it',
};

/** Another switch holds the lock; `heldBy` null: it is not known which. */
export function switchHeld(heldBy: string | null): AgentDetail {
  const message = `another switch is running (${heldBy ?? 'unknown'} holds the lock). This one follows when that ends; the agent ends it if it is stuck`;
  return { code: 'SWITCH_HELD', message };
}

/** A user switched the machine to `toplevel` during a change. */
export function switchedByHand({ now }: Pick<JobDeps, 'now'>, toplevel: StorePath | null): AgentEvent {
  return { type: 'overridden', override: { toplevel, since: now(), by: 'switch' } };
}

/** The caches and keys of downloads, for comparing. */
export function cacheOf({ substituters, cachePublicKeys }: JobSettings): string {
  return [...substituters, ...cachePublicKeys].join(' ');
}

/** The proxy to the server, for comparing: without its login. */
export function proxyOf({ proxy }: JobSettings): string | null {
  return proxy === undefined ? null : `${proxy.protocol}//${proxy.host}`;
}

const HEALTH_PASSES = 3;
/** Added for a busy machine to the limits of the single checks. */
const WATCHDOG_MARGIN_MS = 20_000;
/** For asking systemd for the failed units after the checks, twice if needed. */
const UNITS_MS = 21_000;

/** How long to wait for the server, in ms: after a start of the machine, its network may take as long as the start itself. */
export function contactLimitMs({ isStart }: { readonly isStart: boolean }, { contactTimeoutMs, bootLimitMs }: JobSettings): number {
  return isStart ? Math.max(contactTimeoutMs, bootLimitMs) : contactTimeoutMs;
}

/** The paths and limits that the watchdog needs; null when there is no previous system to roll back to. */
export async function planActivation(
  { machine, settings }: JobDeps,
  { activation, before, directive }: AgentJournal,
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
  return { activation, toplevel, before: before.toplevel, beforeProfile, isTrial: directive?.trial != null, switchMs, verdictMs, bootMs };
}

/** How often and for how long health checks are tried. */
export function healthLimits({ settleMs, healthGraceMs }: JobSettings): Omit<HealthCheckOptions, 'signal'> {
  return { passes: HEALTH_PASSES, pauseMs: settleMs / HEALTH_PASSES, graceMs: healthGraceMs };
}
