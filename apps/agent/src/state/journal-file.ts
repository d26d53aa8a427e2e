import { rename } from 'node:fs/promises';
import { AGENT_JOURNAL_VERSION, emptyJournal, URGENCIES, type AgentJournal } from '@floe/model';
import { AgentState, CommitSha, Counter, DIRECTIVE_MODES, IMPACTS, Observed, StorePath, Timestamp } from '@floe/protocol';
import { readFileIfPresent, writeFileDurably, type Clock, type Logger } from '@floe/runtime';
import * as v from 'valibot';
import { StoredWaitFacts } from '../text/wait-facts.ts';

const Detail = v.object({ code: v.string(), message: v.string() });
const Sequence = { repository: v.string(), ref: v.string(), sequence: Counter };
const Timings = v.object({
  downloadMs: v.exactOptional(v.number()),
  activateMs: v.exactOptional(v.number()),
  verifyMs: v.exactOptional(v.number()),
  commitMs: v.exactOptional(v.number()),
  rollbackMs: v.exactOptional(v.number()),
});
const StoredDirective = v.object({
  epoch: Counter,
  trial: v.optional(v.nullable(v.object({ endsAt: Timestamp, endsAtUptimeMs: v.number(), bootId: v.string() })), null),
  mode: v.picklist(DIRECTIVE_MODES),
  isRetry: v.boolean(),
  urgent: v.optional(
    v.object({ level: v.picklist(URGENCIES), by: v.string(), reason: v.string(), until: Timestamp, noticedAt: v.nullable(Timestamp) }),
  ),
  release: v.object({ ...Sequence, commit: CommitSha, toplevel: StorePath, closureSizeBytes: Counter }),
  envelope: v.string(),
});

/** A report as it is kept until the server has it. */
export const StoredReport = v.object({
  seq: Counter,
  epoch: Counter,
  state: AgentState,
  toplevel: v.nullable(StorePath),
  observed: Observed,
  detail: v.exactOptional(Detail),
  timings: v.exactOptional(Timings),
  log: v.exactOptional(v.string()),
  at: Timestamp,
});

/**
 * The form of the journal on disk: `AgentJournal` of libs/model. Fields are only added: after an upgrade the agent reads the
 * journal of an older version, and after a rollback that of a newer one.
 */
const Journal: v.GenericSchema<unknown, AgentJournal> = v.object({
  version: v.literal(AGENT_JOURNAL_VERSION),
  state: AgentState,
  since: Timestamp,
  detail: v.nullable(v.object({ ...Detail.entries, wait: v.exactOptional(StoredWaitFacts) })),
  directive: v.nullable(StoredDirective),
  pending: v.nullable(StoredDirective),
  epoch: Counter,
  sequences: v.array(v.object(Sequence)),
  freshness: v.nullable(v.object({ ...Sequence, asOf: Timestamp })),
  before: v.nullable(
    v.object({
      toplevel: v.nullable(StorePath),
      profile: v.nullable(StorePath),
      failedUnits: v.nullable(v.array(v.string())),
      serverUrl: v.optional(v.nullable(v.string()), null),
      cache: v.optional(v.nullable(v.string()), null),
      network: v.optional(v.object({ proxy: v.nullable(v.string()), routers: v.array(v.string()) })),
    }),
  ),
  verdict: v.nullable(v.picklist(['passed', 'failed', 'no-contact', 'unwanted', 'superseded', 'over'])),
  activation: v.optional(Counter, 0),
  impact: v.optional(v.nullable(v.picklist(IMPACTS)), null),
  deferral: v.optional(
    v.nullable(
      v.object({
        since: Timestamp,
        restartSince: v.optional(v.nullable(Timestamp), null),
        laterCount: Counter,
        laterUntil: v.nullable(Timestamp),
        isOverruled: v.boolean(),
      }),
    ),
    null,
  ),
  boot: v.optional(v.nullable(v.object({ misses: Counter })), null),
  interruptions: Counter,
  attempt: Counter,
  blocks: v.optional(Counter, 0),
  quarantined: v.array(StorePath),
  override: v.optional(
    v.nullable(v.object({ toplevel: v.nullable(StorePath), since: Timestamp, by: v.picklist(['rollback', 'switch', 'boot']) })),
    null,
  ),
  previous: v.optional(v.nullable(StorePath), null),
  timings: Timings,
  nextReportSeq: Counter,
  report: v.nullable(StoredReport),
});

/** The content of a journal file. */
export type JournalReading =
  | { readonly kind: 'read'; readonly journal: AgentJournal }
  | { readonly kind: 'absent' }
  | { readonly kind: 'broken'; readonly why: string };

/** Reads the journal and changes nothing. */
export async function readJournal(path: string): Promise<JournalReading> {
  const text = await readFileIfPresent(path);
  if (text === undefined) return { kind: 'absent' };
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return { kind: 'broken', why: 'it is not JSON' };
  }
  const parsed = v.safeParse(Journal, json);
  return parsed.success ? { kind: 'read', journal: parsed.output } : { kind: 'broken', why: v.summarize(parsed.issues).slice(0, 500) };
}

/**
 * The journal to start with. A broken one is moved aside: the agent then starts from the machine as it is, and receives its
 * directive again.
 */
export async function openJournal(path: string, deps: { readonly clock: Clock; readonly logger: Logger }): Promise<AgentJournal> {
  const reading = await readJournal(path);
  if (reading.kind === 'read') return reading.journal;
  if (reading.kind === 'broken') {
    const aside = `${path}.broken-${deps.clock.now()}`;
    await rename(path, aside);
    deps.logger.error('the journal cannot be read and was moved aside; starting from the machine as it is', {
      journal: path,
      movedTo: aside,
      why: reading.why,
    });
  }
  return emptyJournal(deps.clock.now());
}

/** Returns when the journal is on disk. */
export async function saveJournal(path: string, journal: AgentJournal): Promise<void> {
  await writeFileDurably(path, JSON.stringify(journal));
}
