import type { RolloutPolicy } from '@floe/model';

/** Time stands still here: what passes is an age, e.g. of a soak. */
export const NOW = 1_000_000;
export const SOAK_MS = 1_000;

/** A revision by its number. Every host runs 0 at the beginning; its sequence is one more. */
export type Revision = number;

/** What the world is like. */
export interface Scene {
  readonly revisions: number;
  /** Revisions that no host can verify. */
  readonly bad: ReadonlySet<Revision>;
  readonly policy: RolloutPolicy;
  /** The ring of each host, and the label that it has. */
  readonly rings: readonly number[];
  readonly labels: readonly string[];
  /** The server stores the reports that came before a `ready` on its connection before it answers. */
  readonly isReadyBehindReports: boolean;
  /** So many rollouts in a row were superseded before: whatever is under way is finished first. */
  readonly superseded: number;
  /** How often each of these may happen. */
  readonly limits: Limits;
  /** From this revision on the policy names a stepping stone. */
  readonly stone?: Revision;
  /** Of each host the revisions that change it; absent: all do. */
  readonly changes?: readonly (readonly Revision[])[];
  /** Systems take effect with a restart of the machine only. */
  readonly needsRestart?: boolean;
  /** What people do when nothing else happens, in order: each is a line to begin from. */
  readonly lines: readonly (readonly RegExp[])[];
}

export interface Limits {
  readonly agentCrashes: number;
  readonly serverCrashes: number;
  readonly overrides: number;
  readonly laters: number;
  readonly freezes: number;
  readonly resumes: number;
  readonly retries: number;
  readonly aborts: number;
  readonly holds: number;
  readonly pins: number;
  readonly trials: number;
  readonly bans: number;
  readonly stops: number;
  /** Of an author of the commit. */
  readonly approvals: number;
  /** Another host is built late. */
  readonly builds: number;
  /** A probe says no, or nothing for long. */
  readonly alarms: number;
}
