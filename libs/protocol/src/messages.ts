import {
  AGENT_STATES,
  oneLine,
  type Detail as ModelDetail,
  type Observed as ModelObserved,
  type StageTimings as ModelStageTimings,
} from '@floe/model';
import * as v from 'valibot';
import { ByteSize, Counter, DurationMs, foreign, list, prose, Timestamp, word } from './bounds.ts';
import { SealedDirective } from './directive-tree.ts';
import { Envelope } from './envelope.ts';
import { HostName, MachineId, StorePath } from './ids.ts';

/** The systems of the machine, as read from it. See `Observed` in libs/model. */
export const Observed = v.strictObject({
  current: v.nullable(StorePath),
  booted: v.nullable(StorePath),
  profile: v.nullable(v.strictObject({ generation: Counter, toplevel: StorePath })),
}) satisfies v.GenericSchema<unknown, ModelObserved>;
export type Observed = ModelObserved;

export const AgentState = v.picklist(AGENT_STATES);

/** See `Detail` in libs/model. */
export const Detail = v.strictObject({
  code: prose(64),
  message: prose(4096),
}) satisfies v.GenericSchema<unknown, ModelDetail>;
export type Detail = ModelDetail;

/** See `StageTimings` in libs/model. */
export const StageTimings = v.strictObject({
  downloadMs: v.optional(DurationMs),
  activateMs: v.optional(DurationMs),
  verifyMs: v.optional(DurationMs),
  commitMs: v.optional(DurationMs),
  rollbackMs: v.optional(DurationMs),
}) satisfies v.GenericSchema<unknown, ModelStageTimings>;
export type StageTimings = ModelStageTimings;

// server → agent

/** First message on every socket. The agent signs the nonce with its key in its hello. */
export const Challenge = v.strictObject({ type: v.literal('challenge'), nonce: v.pipe(word(64), v.minLength(16)) });
export type Challenge = v.InferOutput<typeof Challenge>;
/**
 * The hello was accepted. `reportSeq`: the newest report of this agent that is stored; older ones need not be sent again. `signedReports`: the server
 * takes {@link SignedReport}s; only to agents with that capability, as others refuse a field that they do not know.
 */
export const Welcome = v.strictObject({
  type: v.literal('welcome'),
  serverTime: Timestamp,
  reportSeq: Counter,
  signedReports: v.optional(v.literal(true)),
});
export type Welcome = v.InferOutput<typeof Welcome>;
/** Carries a signed `Directive`. Replaces any earlier one of a lower epoch. One of a tree only to agents with the capability `directive-tree`. */
export const DirectiveMessage = v.strictObject({ type: v.literal('directive'), envelope: SealedDirective });
export type DirectiveMessage = v.InferOutput<typeof DirectiveMessage>;
/** Carries a signed `StageHint`. Only to agents with the capability `stage`. A newer one replaces it. */
export const StageMessage = v.strictObject({ type: v.literal('stage'), envelope: Envelope });
export type StageMessage = v.InferOutput<typeof StageMessage>;
/** The agent may activate the directive of this epoch within `leaseMs`. Answer to `ready`. */
export const Go = v.strictObject({ type: v.literal('go'), epoch: Counter, leaseMs: DurationMs });
export type Go = v.InferOutput<typeof Go>;
/** All reports up to `seq` are stored. */
export const Ack = v.strictObject({ type: v.literal('ack'), seq: Counter });
export type Ack = v.InferOutput<typeof Ack>;
/** Sent before the server closes the socket: the reason, and what to do. */
export const Refusal = v.strictObject({ type: v.literal('refusal'), code: word(64), message: prose(4096) });
export type Refusal = v.InferOutput<typeof Refusal>;

export const ServerMessage = v.variant('type', [Challenge, Welcome, DirectiveMessage, StageMessage, Go, Ack, Refusal]);
export type ServerMessage = v.InferOutput<typeof ServerMessage>;

// agent → server

/**
 * Answer to the challenge. `signature` (base64) is by the host's key over {@link helloBytes}. `epoch` and `sequence` are
 * the highest that the agent ever accepted: a server with a restored database continues above them.
 */
export const Hello = v.strictObject({
  type: v.literal('hello'),
  protocol: Counter,
  agentVersion: word(64),
  host: HostName,
  machineId: MachineId,
  bootId: word(64),
  system: word(64),
  signature: v.pipe(v.string(), v.maxLength(128), v.base64()),
  observed: Observed,
  state: AgentState,
  /** The toplevel that `state` is about. */
  toplevel: v.nullable(StorePath),
  epoch: Counter,
  sequence: Counter,
  /** Seq of the newest report that the agent made. */
  reportSeq: Counter,
  capabilities: list(word(64), 64),
});
export type Hello = v.InferOutput<typeof Hello>;

/** A durable fact: sent until acknowledged, stored once per (host, seq). */
export const Report = v.strictObject({
  type: v.literal('report'),
  /** Number of the report: from 1, without gaps. */
  seq: Counter,
  epoch: Counter,
  state: AgentState,
  toplevel: v.nullable(StorePath),
  observed: Observed,
  detail: v.optional(Detail),
  timings: v.optional(StageTimings),
  /** The end of the log of a step that failed, redacted and bounded. */
  log: v.optional(prose()),
  /** Time of the agent's clock: only shown, never compared. */
  at: Timestamp,
});
export type Report = v.InferOutput<typeof Report>;

/** Of an agent that can sign what it reports. */
export const SIGNED_REPORTS = 'signed-reports';

/**
 * Carries a `HostReport` that the host's key signed: beside a report in which the machine is at rest, and once after each welcome. Only to a server
 * that asked for it. May be lost: what the machine runs is said again on the next connection.
 */
export const SignedReport = v.strictObject({ type: v.literal('signed-report'), envelope: Envelope });
export type SignedReport = v.InferOutput<typeof SignedReport>;

/** The system is staged and may be activated: the agent asks for `go`. */
export const Ready = v.strictObject({ type: v.literal('ready'), epoch: Counter });
export type Ready = v.InferOutput<typeof Ready>;
/** Progress of the download. Throttled, and may be lost. */
export const Progress = v.strictObject({
  type: v.literal('progress'),
  epoch: Counter,
  doneBytes: ByteSize,
  expectedBytes: ByteSize,
});
export type Progress = v.InferOutput<typeof Progress>;

/** Answer to `stage`: the hinted system is in the machine's store. May be lost; it is said again after the next hint. */
export const Staged = v.strictObject({ type: v.literal('staged'), toplevel: StorePath });
export type Staged = v.InferOutput<typeof Staged>;

export const AgentMessage = v.variant('type', [Hello, Report, SignedReport, Ready, Progress, Staged]);
export type AgentMessage = v.InferOutput<typeof AgentMessage>;

/** The bytes that an agent signs in its hello. They contain the nonce and the identity that the agent claims. */
export function helloBytes(hello: { nonce: string; host: string; machineId: string; bootId: string }): Uint8Array {
  return new TextEncoder().encode(`floe hello 1\n${hello.nonce}\n${hello.host}\n${hello.machineId}\n${hello.bootId}\n`);
}

export type Parsed<T> = { readonly kind: 'parsed'; readonly message: T } | { readonly kind: 'malformed'; readonly why: string };

const MAX_WHY_CHARACTERS = 500;

/** An error message quotes what was received, so it is made a short printable line. */
function describe(issues: Parameters<typeof v.summarize>[0]): string {
  return oneLine(v.summarize(issues).slice(0, 4 * MAX_WHY_CHARACTERS))
    .slice(0, MAX_WHY_CHARACTERS)
    .toWellFormed();
}

/** Parses a socket frame as a message of `schema`'s union. Never throws. */
export function parseFrame<Schema extends v.GenericSchema>(schema: Schema, frame: string): Parsed<v.InferOutput<Schema>> {
  let json: unknown;
  try {
    json = JSON.parse(frame);
  } catch {
    return { kind: 'malformed', why: 'not JSON' };
  }
  const parsed = v.safeParse(foreign(schema), json);
  return parsed.success ? { kind: 'parsed', message: parsed.output } : { kind: 'malformed', why: describe(parsed.issues) };
}
