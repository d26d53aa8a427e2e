import type { CommitSha, HostName, StorePath } from '@floe/model';
import type { AgentState, HostReport } from '@floe/protocol';
import { FloeError } from '@floe/runtime';
import type * as v from 'valibot';

/** What an export may have at most, so that whoever wrote it does not fill the memory here. */
const MAX_FACTS = 2_000_000;

export interface ReleaseFact {
  readonly line: number;
  readonly toplevel: StorePath;
  readonly commit: CommitSha;
  readonly isSubmitted: boolean;
}

export interface CommitFact {
  readonly line: number;
  readonly commit: CommitSha;
  readonly isSubmitted: boolean;
  /** As the release key signed them. */
  readonly repository: string;
  readonly ref: string;
}

export interface ReportFact {
  readonly line: number;
  readonly host: HostName;
  readonly of: 'newest' | 'end';
  readonly publicKey: string;
  readonly calledAs: HostName;
  readonly seq: number;
  readonly epoch: number;
  readonly state: v.InferOutput<typeof AgentState>;
  readonly current: StorePath | null;
  readonly release: { readonly sequence: number; readonly toplevel: StorePath; readonly commit: CommitSha } | null;
  readonly floor: number;
  readonly isTrial: boolean;
  readonly isOverridden: boolean;
  readonly at: number;
}

export interface PermitFact {
  readonly line: number;
  /** By the server's word: its host may have had another name. */
  readonly listedFor: HostName;
  readonly sequence: number;
  readonly toplevel: StorePath;
  readonly floor: number;
  readonly actor: string;
  readonly reason: string;
  /** The operator whose key signed that. */
  readonly authorisedBy: string | undefined;
}

export interface HostFact {
  readonly line: number;
  readonly publicKey: string | null;
  readonly isRevoked: boolean;
  readonly desired: { readonly sequence: number; readonly toplevel: StorePath } | null;
}

/** All that is kept of an export while it is read: what its signed words say, and where. */
export class Facts {
  /** When the server began to write it. */
  at = 0;
  releasesFrom: 'log' | 'database' = 'log';
  readonly hosts = new Map<HostName, HostFact>();
  readonly releases = new Map<HostName, Map<number, ReleaseFact>>();
  /** Of each sequence, the commit that its releases name. */
  readonly commits = new Map<number, CommitFact>();
  readonly revisions = new Map<number, { readonly line: number; readonly commit: CommitSha; readonly isHandover: boolean }>();
  readonly reports: ReportFact[] = [];
  readonly permits = new Map<HostName, PermitFact[]>();
  /** Of each key, the names that it was enrolled for, and that it had before. */
  readonly enrolled = new Map<string, Set<HostName>>();
  /** Of each key whose last enrolment was revoked, when. */
  readonly revoked = new Map<string, { readonly line: number; readonly at: number }>();
  /** Of each host, the newest release that a signed statement calls stable. */
  readonly stable = new Map<HostName, { readonly line: number; readonly sequence: number; readonly toplevel: StorePath }>();
  readonly stableNumbers = new Set<number>();
  #count = 0;

  /** Called for each fact that is kept. Throws `FloeError('USAGE')`. */
  keep(): void {
    this.#count += 1;
    if (this.#count > MAX_FACTS) throw new FloeError('USAGE', `the export says more than ${MAX_FACTS} things: too much to be checked here`);
  }
}

/** What is kept of a signed report. */
export function reportFact(line: number, host: HostName, of: ReportFact['of'], publicKey: string, said: HostReport): ReportFact {
  const { host: calledAs, seq, epoch, state, observed, release, floor, isTrial, isOverridden, at } = said;
  const { current } = observed;
  const released = release && { sequence: release.sequence, toplevel: release.toplevel, commit: release.commit };
  return { line, host, of, publicKey, calledAs, seq, epoch, state, current, release: released, floor, isTrial, isOverridden, at };
}
