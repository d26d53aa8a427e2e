import type { Env } from '@floe/runtime';
import { AgentState, CommitSha, Counter, Detail, HostName, Observed, StorePath, Timestamp } from '@floe/protocol';
import { join } from 'node:path';
import * as v from 'valibot';
import { NOTICE_ACTIONS, NoticeAbout } from '../text/notice-about.ts';
import { StoredWaitFacts } from '../text/wait-facts.ts';

// The local protocol between the agent and the machine's users: HTTP with JSON over a Unix socket. Requests reject unknown keys.
// Answers ignore them, since after an upgrade either side may be the older one.

const SOCKET_PATH = '/run/floe-agent/socket';

/** The socket of the agent on this machine, or on the folder `root`: FLOE_SOCKET, or where the agent puts it. */
export function socketPathOf(env: Env, root: string | undefined): string {
  return env['FLOE_SOCKET']?.trim() || join(root ?? '/', SOCKET_PATH);
}

/** Root's own socket beside the one of a group: the group's members cannot block it. */
export function rootSocketPath(path: string): string {
  return `${path}.root`;
}

/** A month; the policy has the real limit. */
export const MAX_LATER_MINUTES = 31 * 24 * 60;

/** Body of `POST /later`. Without `minutes`: for as long as the policy allows at once. */
export const LaterRequest = v.strictObject({
  minutes: v.exactOptional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_LATER_MINUTES))),
});
export type LaterRequest = v.InferOutput<typeof LaterRequest>;

/** Body of the other POSTs; an empty body does as well. */
export const NoArguments = v.strictObject({});

/** Why a request is not carried out (409 when the agent refuses, 4xx and 5xx otherwise). */
export const RequestRefusal = v.object({ code: v.string(), message: v.string() });
export type RequestRefusal = v.InferOutput<typeof RequestRefusal>;

/** What the ready system waits for. `until`: the time of a user's "later"; null: no user deferred it. */
export const Waiting = v.object({ code: v.string(), message: v.string(), until: v.nullable(Timestamp) });
export type Waiting = v.InferOutput<typeof Waiting>;

const Running = v.object({
  toplevel: StorePath,
  commit: v.nullable(CommitSha),
  sequence: v.nullable(Counter),
  repository: v.nullable(v.string()),
  ref: v.nullable(v.string()),
});

/** Answer to `GET /status`. Times are milliseconds since 1970-01-01 UTC. */
export const LocalStatus = v.object({
  host: HostName,
  server: v.object({
    url: v.string(),
    connected: v.boolean(),
    /** When the connection was made or lost; null: there was none yet. */ since: v.nullable(Timestamp),
    /** Who answered in its place at the last try, in words; null: nobody, as far as is known. Agents from before do not say. */
    stranger: v.optional(v.nullable(v.string()), null),
    /** Why the server refuses this machine, or why it cannot ask, and what to do. Agents from before do not say. */
    refusal: v.optional(v.nullable(v.object({ code: v.string(), message: v.string() })), null),
  }),
  state: AgentState,
  /** When `state` was entered. */
  since: Timestamp,
  detail: v.nullable(Detail),
  waiting: v.nullable(Waiting),
  /** What the wait depends on. Agents from before do not say. */
  wait: v.optional(v.nullable(StoredWaitFacts), null),
  /** An administrator asks for the system now: until then it waits for no window and no "later". */
  urgent: v.optional(v.nullable(v.object({ level: v.string(), by: v.string(), reason: v.string(), until: Timestamp })), null),
  /** How often the waiting system can still be deferred. */
  laterLeft: Counter,
  desired: v.nullable(v.object({ toplevel: StorePath, commit: CommitSha, sequence: Counter })),
  /** The system of `desired` is only tried, and the machine goes back at `endsAt`. Agents from before trials do not say. */
  trial: v.optional(v.nullable(v.object({ endsAt: Timestamp })), null),
  observed: Observed,
  /** The running system with the commit that it was released with; null there: none, or the agent was never told it. Agents from before do not say. */
  running: v.optional(v.nullable(Running), null),
  /** Systems that were rolled back on this machine. */
  quarantined: v.array(StorePath),
  /** Set when a user went back or switched by hand: the agent keeps that system until `resume`. */
  override: v.nullable(v.object({ toplevel: v.nullable(StorePath), since: Timestamp, by: v.nullable(v.string()) })),
  agentVersion: v.string(),
});
export type LocalStatus = v.InferOutput<typeof LocalStatus>;

export const NOTICE_KINDS = ['waiting', 'restart-needed', 'switched', 'put-back', 'problem'] as const;
export type NoticeKind = (typeof NOTICE_KINDS)[number];

/** Something that users of the machine should know. Its texts are in the language and time zone of the machine. */
export const Notice = v.object({
  /** Stays the same while the content does: each notice is shown once. */
  id: v.pipe(v.string(), v.minLength(1), v.maxLength(200)),
  kind: v.picklist(NOTICE_KINDS),
  title: v.string(),
  body: v.string(),
  actions: v.array(v.picklist(NOTICE_ACTIONS)),
  /** Agents from before do not say; what a newer one says may not be known here: then its texts are shown. */
  about: v.optional(v.fallback(v.nullable(NoticeAbout), null), null),
});
export type Notice = v.InferOutput<typeof Notice>;

/** A line of `GET /events`. The first comes at once; null: there is no notice (any more). */
export const NoticeLine = v.object({ notice: v.nullable(Notice) });
export type NoticeLine = v.InferOutput<typeof NoticeLine>;

/** Answer to `POST /later`. */
export const Deferred = v.object({ until: Timestamp, laterLeft: Counter });
export type Deferred = v.InferOutput<typeof Deferred>;

/** Answer to `POST /now` and `POST /resume`: begun, not finished. `toplevel`: the system that should run. */
export const Accepted = v.object({ toplevel: v.nullable(StorePath) });
export type Accepted = v.InferOutput<typeof Accepted>;

/** Answer to `POST /rollback`: begun, not finished. */
export const RollingBack = v.object({ toplevel: StorePath });
export type RollingBack = v.InferOutput<typeof RollingBack>;

/** Answer to `GET /changes`: `ClosureChanges` of libs/nix, and the two systems. */
export const Changes = v.object({
  /**
   * 'next': from the running system to the ready one. 'last': from the previous system to the running one. 'between': two
   * given generations; only the command makes this, never the agent.
   */
  subject: v.picklist(['next', 'last', 'between']),
  before: StorePath,
  after: StorePath,
  packages: v.array(v.object({ name: v.string(), before: v.array(v.string()), after: v.array(v.string()), sizeDeltaBytes: v.number() })),
  addedCount: Counter,
  removedCount: Counter,
  rebuiltCount: Counter,
  sizeBeforeBytes: Counter,
  sizeAfterBytes: Counter,
});
export type Changes = v.InferOutput<typeof Changes>;
