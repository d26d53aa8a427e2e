import * as v from 'valibot';
import { ByteSize, Counter, prose, Timestamp, word } from './bounds.ts';
import { Envelope } from './envelope.ts';
import { CommitSha, HostName, MachineId, PublicKey, StorePath } from './ids.ts';

const RepositoryUrl = prose(4096);
const GitRef = prose(1024);

/** "Host H, at revision R with sequence N, should run toplevel T." Signed by the release key, which only the builder has. */
export const ReleaseStatement = v.strictObject({
  version: v.literal(1),
  /** The repository's URL without credentials. */
  repository: RepositoryUrl,
  /** `refs/heads/<branch>` */
  ref: GitRef,
  commit: CommitSha,
  /** Grows with every revision of this repository and ref; an agent goes down only with a permit. */
  sequence: Counter,
  host: HostName,
  toplevel: StorePath,
  /** `sha256:…` of the toplevel's NAR, as the cache has it. */
  narHash: word(128),
  /** Sum of the NAR sizes of the closure, in bytes. */
  closureSizeBytes: ByteSize,
  /** Nix's platform, e.g. `x86_64-linux`. */
  system: word(64),
  issuedAt: Timestamp,
  expiresAt: Timestamp,
});
export type ReleaseStatement = v.InferOutput<typeof ReleaseStatement>;

/** "The newest sequence of this repository and ref is N, as of T." Re-signed every hour by the builder. */
export const FreshnessStatement = v.strictObject({
  version: v.literal(1),
  repository: RepositoryUrl,
  ref: GitRef,
  sequence: Counter,
  asOf: Timestamp,
});
export type FreshnessStatement = v.InferOutput<typeof FreshnessStatement>;

export const DIRECTIVE_MODES = ['stage', 'activate', 'boot', 'hold'] as const;

/** What the server tells one agent to want now. Signed by the server key, good for one connection only. */
export const Directive = v.strictObject({
  version: v.literal(1),
  host: HostName,
  machineId: MachineId,
  /** The host's directive counter. */
  epoch: Counter,
  mode: v.picklist(DIRECTIVE_MODES),
  /** An administrator asked to try again a toplevel that this host put back before: its local quarantine is lifted. */
  isRetry: v.boolean(),
  release: Envelope,
  freshness: v.optional(Envelope),
  issuedAt: Timestamp,
  expiresAt: Timestamp,
  /** The nonce of this connection's challenge: a directive of another connection is refused. */
  nonce: word(64),
});
export type Directive = v.InferOutput<typeof Directive>;

/** "This machine with this key is host H." Kept beside the cache, so that a lost database is rebuilt. Signed by the server key. */
export const EnrolmentStatement = v.strictObject({
  version: v.literal(1),
  host: HostName,
  machineId: MachineId,
  publicKey: PublicKey,
  enrolledAt: Timestamp,
});
export type EnrolmentStatement = v.InferOutput<typeof EnrolmentStatement>;

/** "That enrolment of host H ended." Kept like {@link EnrolmentStatement}, so that a restored database does not let it back in. */
export const RevocationStatement = v.strictObject({
  version: v.literal(1),
  host: HostName,
  publicKey: PublicKey,
  revokedAt: Timestamp,
  reason: prose(4096),
});
export type RevocationStatement = v.InferOutput<typeof RevocationStatement>;
