import { URGENCIES } from '@floe/model';
import * as v from 'valibot';
import { ByteSize, Counter, DurationMs, list, prose, Timestamp, word } from './bounds.ts';
import { Envelope } from './envelope.ts';
import { CommitSha, HostName, MachineId, PublicKey, StorePath } from './ids.ts';

const RepositoryUrl = prose(4096);
const GitRef = prose(1024);

/**
 * The one directive that a signed word is for. The server chooses the nonces of connections and numbers its directives, so who has stolen its key
 * can repeat either; the machine takes a number once, and its `bootId` does not come back with a journal that is restored.
 */
export const OneDirective = v.strictObject({ machineId: MachineId, bootId: word(64), epoch: Counter });
export type OneDirective = v.InferOutput<typeof OneDirective>;

/** "Host H, at revision R with sequence N, should run toplevel T." Signed by the release key, which only the server has that builds. */
export const ReleaseStatement = v.strictObject({
  version: v.literal(1),
  /** The repository's URL without credentials. */
  repository: RepositoryUrl,
  /** `refs/heads/<branch>` */
  ref: GitRef,
  commit: CommitSha,
  /** Grows with every revision of this repository and ref. An agent accepts a lower one only with a permit. */
  sequence: Counter,
  host: HostName,
  toplevel: StorePath,
  /** `sha256:…` of the toplevel's NAR in the cache. */
  narHash: word(128),
  /** Sum of the NAR sizes of the closure, in bytes. */
  closureSizeBytes: ByteSize,
  /** Nix platform, e.g. `x86_64-linux`. */
  system: word(64),
  /** The name that the machine of this host had before: one of that name takes this release, too. Only for agents with the capability `rename`. */
  formerHost: v.optional(HostName),
  /**
   * `test`: the system is only to be tried, until `endsAt`: 24 hours after `issuedAt` at most. Only for agents with the capability `trial`.
   * `submitted`: no commit has the system; an administrator named it by its store path. Only for agents with the capability `submitted`.
   */
  purpose: v.optional(v.picklist(['test', 'submitted'])),
  endsAt: v.optional(Timestamp),
  /**
   * Of a trial, and of a submitted system: signed for this directive alone. Only for agents with the capability `once`, which take neither without
   * it.
   */
  onlyFor: v.optional(OneDirective),
  issuedAt: Timestamp,
  expiresAt: Timestamp,
});
export type ReleaseStatement = v.InferOutput<typeof ReleaseStatement>;

/** "The newest sequence of this repository and ref is N, as of T." Signed again every hour. */
export const FreshnessStatement = v.strictObject({
  version: v.literal(1),
  repository: RepositoryUrl,
  ref: GitRef,
  sequence: Counter,
  asOf: Timestamp,
});
export type FreshnessStatement = v.InferOutput<typeof FreshnessStatement>;

/**
 * "Host H may go below the sequence F that it accepted, to this one release." Signed by the release key, so that a server without it cannot
 * move a host back. It names a release by what no two releases of a host have in common: repository, ref and sequence, and its system.
 * Valid on one connection only: a recorded one moves nobody back a second time.
 */
export const PermitStatement = v.strictObject({
  version: v.literal(1),
  repository: RepositoryUrl,
  ref: GitRef,
  host: HostName,
  machineId: MachineId,
  /** Of the release. */
  sequence: Counter,
  toplevel: StorePath,
  /** An agent that accepted a higher sequence than this refuses it: the permit is from before that. */
  floor: Counter,
  /** Who wants it, and why: shown. */
  actor: prose(200),
  reason: prose(2_000),
  /** The operator whose key signed that this is wanted, by the name beside that key. Absent: nobody had to, or it is the host's stable release. */
  authorisedBy: v.optional(prose(200)),
  issuedAt: Timestamp,
  expiresAt: Timestamp,
  /** The nonce of this connection's challenge, as in the directive. */
  nonce: word(64),
  /** Only for agents with the capability `once`, which take no permit without it. */
  onlyFor: v.optional(OneDirective),
});
export type PermitStatement = v.InferOutput<typeof PermitStatement>;

/**
 * "An administrator asks for this now", `by` whom and why: over the machine's windows and its users' "later". `now`: without a notice before
 * it. It belongs to this directive alone, and means nothing after `until`.
 */
export const Urgency = v.strictObject({ level: v.picklist(URGENCIES), by: prose(200), reason: prose(500), until: Timestamp });
export type Urgency = v.InferOutput<typeof Urgency>;

export const DIRECTIVE_MODES = ['stage', 'activate', 'boot', 'hold'] as const;

/** What one agent should run now. Signed by the server key, valid on one connection only. */
export const Directive = v.strictObject({
  version: v.literal(1),
  host: HostName,
  machineId: MachineId,
  /** The directive counter of the host. */
  epoch: Counter,
  mode: v.picklist(DIRECTIVE_MODES),
  /** An administrator retries a toplevel that this host rolled back: the host removes it from its quarantine. */
  isRetry: v.boolean(),
  release: Envelope,
  /** A {@link PermitStatement} for the release. Only for agents with the capability `permit`. */
  permit: v.optional(Envelope),
  freshness: v.optional(Envelope),
  /** Only for agents with the capability `urgent`. */
  urgent: v.optional(Urgency),
  issuedAt: Timestamp,
  expiresAt: Timestamp,
  /** The nonce of this connection's challenge. A directive of another connection is refused. */
  nonce: word(64),
});
export type Directive = v.InferOutput<typeof Directive>;

/**
 * "Host H will probably run this release: it may download it." A hint beside the directive, signed by the server key, valid on one
 * connection only. It changes nothing that the host runs.
 */
export const StageHint = v.strictObject({
  version: v.literal(1),
  host: HostName,
  machineId: MachineId,
  release: Envelope,
  /** The downloads of a fleet are spread over so much time. */
  spreadMs: DurationMs,
  issuedAt: Timestamp,
  expiresAt: Timestamp,
  nonce: word(64),
});
export type StageHint = v.InferOutput<typeof StageHint>;

/** "This machine with this key is host H." Stored beside the cache, so that a lost database can be rebuilt. Signed by the server key. */
export const EnrolmentStatement = v.strictObject({
  version: v.literal(1),
  host: HostName,
  machineId: MachineId,
  publicKey: PublicKey,
  enrolledAt: Timestamp,
});
export type EnrolmentStatement = v.InferOutput<typeof EnrolmentStatement>;

/**
 * "That enrolment of host H was revoked." Stored like {@link EnrolmentStatement}, so that a restored database does not accept the
 * host again.
 */
export const RevocationStatement = v.strictObject({
  version: v.literal(1),
  host: HostName,
  publicKey: PublicKey,
  revokedAt: Timestamp,
  reason: prose(4096),
});
export type RevocationStatement = v.InferOutput<typeof RevocationStatement>;

/**
 * "The machine that was host F is host H from now on, with the same key." It ends the enrolment of F and makes that of H. Stored like
 * {@link EnrolmentStatement}; what the log has of F up to this sequence is H's.
 */
export const RenameStatement = v.strictObject({
  version: v.literal(1),
  formerHost: HostName,
  host: HostName,
  machineId: MachineId,
  publicKey: PublicKey,
  /** The highest sequence of the repository then. */
  sequence: Counter,
  renamedAt: Timestamp,
  reason: prose(4096),
});
export type RenameStatement = v.InferOutput<typeof RenameStatement>;

/**
 * "These releases are the stable ones of their hosts: a rollout was complete with them." Stored beside the cache by the release key, so that a
 * database that is rebuilt knows what was proved. Of two that name a host the one with the higher sequence counts.
 * `policy`: whether the last complete rollout had the default policy; of two the one with the higher number counts.
 */
export const StableStatement = v.strictObject({
  version: v.literal(1),
  repository: RepositoryUrl,
  ref: GitRef,
  /** Grows with each statement: one that is missing is seen. */
  number: Counter,
  hosts: list(v.strictObject({ host: HostName, sequence: Counter, toplevel: StorePath }), 1_000),
  policy: v.optional(v.picklist(['default', 'other'])),
  issuedAt: Timestamp,
});
export type StableStatement = v.InferOutput<typeof StableStatement>;
