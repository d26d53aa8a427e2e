import * as v from 'valibot';
import { Counter, DurationMs, prose, Timestamp, word } from './bounds.ts';
import { Envelope } from './envelope.ts';
import { CommitSha, HostName, MachineId, PublicKey, StorePath } from './ids.ts';

// A fleet's history as one file (`floe export`), which `floe verify` reads without a server: JSON Lines, of these kinds, in this order. Each line ends
// with a hash that chains it to the one before, and the last one is signed by the server's key (`chainedLine()` of libs/runtime).

export const EXPORT_FORMAT = 'floe-export';
export const EXPORT_MEDIA_TYPE = 'application/jsonl';
/** The longest line that is read, in characters: an envelope, and what is around it. */
export const MAX_EXPORT_LINE = 256 * 1024;

const Hash = v.pipe(v.string(), v.maxLength(64), v.regex(/^[0-9a-f]{64}$/, 'a SHA-256 is 64 hex digits'));
const KeyId = v.pipe(word(128), v.minLength(1));
const Signature = v.pipe(v.string(), v.maxLength(128), v.base64());

const Header = v.strictObject({
  kind: v.literal('header'),
  format: v.literal(EXPORT_FORMAT),
  version: v.literal(1),
  at: Timestamp,
  repository: prose(4096),
  ref: prose(1024),
  /** `log`: all that were ever signed. `database`: of a builder of its own process, those that the server still has. */
  releasesFrom: v.picklist(['log', 'database']),
  /** Entries of the audit log that are older may be gone from its beginning. */
  keepAuditMs: DurationMs,
});
/** What the server says its keys are: shown. Whoever verifies has them from elsewhere. */
const Key = v.strictObject({ kind: v.literal('key'), role: v.picklist(['release', 'server']), keyId: KeyId, publicKey: PublicKey });
/** What the server knows of a host: nobody signed it. */
const Host = v.strictObject({
  kind: v.literal('host'),
  host: HostName,
  machineId: v.nullable(MachineId),
  publicKey: v.nullable(PublicKey),
  revokedAt: v.nullable(Timestamp),
  /** What it should run. `permit`: who lets it go below what it accepted, and why. */
  desired: v.nullable(
    v.strictObject({ sequence: Counter, toplevel: StorePath, permit: v.nullable(v.strictObject({ by: prose(200), reason: prose(2_000) })) }),
  ),
});
/** `publicKey`: of the host's key that signed it, by the server's word; whether that is the host's, the enrolments say. */
const Report = v.strictObject({
  kind: v.literal('report'),
  host: HostName,
  of: v.picklist(['newest', 'end']),
  publicKey: PublicKey,
  envelope: Envelope,
});
const Permit = v.strictObject({ kind: v.literal('permit'), host: HostName, envelope: Envelope });
const Stable = v.strictObject({ kind: v.literal('stable'), envelope: Envelope });
const Freshness = v.strictObject({ kind: v.literal('freshness'), envelope: Envelope });
const Revision = v.strictObject({ kind: v.literal('revision'), sequence: Counter, commit: CommitSha, state: word(64), isHandover: v.boolean() });
const Release = v.strictObject({ kind: v.literal('release'), envelope: Envelope });
const Access = v.strictObject({ kind: v.literal('access'), envelope: Envelope });
/** An end of the audit log's chain, as it was signed. */
const AuditHead = v.strictObject({ kind: v.literal('audit-head'), keyId: KeyId, signature: Signature, signed: word(1_024) });
/** An entry of the audit log, with the hash that chains it to the one before. */
const Audit = v.strictObject({
  kind: v.literal('audit'),
  id: Counter,
  at: Timestamp,
  actor: prose(),
  action: prose(),
  subject: prose(),
  detail: prose(),
  /** Of a refusal, the day: its subject, detail and count go on changing on that day, and are in no hash. */
  refusedOn: v.nullable(Counter),
  count: Counter,
  lastAt: v.nullable(Timestamp),
  hash: v.nullable(Hash),
});
/** What should be here, and cannot be read from where it is kept. */
const Unreadable = v.strictObject({ kind: v.literal('unreadable'), what: prose(1_000) });
const End = v.strictObject({ kind: v.literal('end'), keyId: KeyId, signature: Signature, signed: word(1_024) });

export const ExportLine = v.variant('kind', [
  Header,
  Key,
  Host,
  Report,
  Permit,
  Stable,
  Freshness,
  Revision,
  Release,
  Access,
  AuditHead,
  Audit,
  Unreadable,
  End,
]);
export type ExportLine = v.InferOutput<typeof ExportLine>;
export type ExportLineOf<Kind extends ExportLine['kind']> = Extract<ExportLine, { kind: Kind }>;

/** What the server signs of an export: how many lines are before the last one, and the hash of the last of those. */
export const ExportEnd = v.strictObject({ version: v.literal(1), lines: Counter, hash: Hash, at: Timestamp });
export type ExportEnd = v.InferOutput<typeof ExportEnd>;

/** The end of the audit log as it was signed. */
export const SignedAuditHead = v.strictObject({ id: Counter, at: Timestamp, hash: Hash });
