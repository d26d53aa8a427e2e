import { isTrialOpen, urgencyOf, type AgentJournal } from '@floe/model';
import type { Reader } from '../text/people-time.ts';
import { isHeldDownload } from '../text/people.ts';
import { noticeInWords } from '../text/notice-words.ts';
import type { NoticeAbout, NoticeAction } from '../text/notice-about.ts';
import type { Notice, NoticeKind } from './protocol.ts';

/** How long a result is shown, in ms. */
const NEWS_MS = 3600_000;
/** Users who put it off are asked again this long before it begins, in ms. */
const REMIND_MS = 5 * 60_000;

interface Told {
  readonly topic: NoticeAbout['topic'];
  readonly kind: NoticeKind;
  readonly actions: readonly NoticeAction[];
  /** Default: made of all that the words are made of. */
  readonly id?: string;
}

/** What users of the machine should know now; null: nothing. Its words are for `reader`, who may be somebody else than who sees it. */
export function noticeOf(journal: AgentJournal, reader: Reader): Notice | null {
  const { state, detail, directive } = journal;
  const told = toldOf(journal, reader.now);
  if (told === null) return null;
  const urgent = urgencyOf(journal, reader.now);
  const about: NoticeAbout = {
    topic: told.topic,
    state,
    code: detail?.code ?? null,
    wait: detail?.wait ?? null,
    trialEndsAt: isTrialOpen(journal) ? (directive?.trial?.endsAt ?? null) : null,
    asker: urgent === undefined ? null : { by: urgent.by, reason: urgent.reason },
  };
  const id = (told.id ?? `${told.topic}:${state}:${directive?.epoch ?? 0}:${about.code ?? ''}:${factsOf(journal)}`).slice(0, 200);
  return { id, kind: told.kind, actions: [...told.actions], about, ...noticeInWords(about, reader) };
}

/** When the notice changes although nothing happens, ms; null: it does not. */
export function noticeChangesAt(journal: AgentJournal, now: number): number | null {
  return putOffUntil(journal, now);
}

function toldOf(journal: AgentJournal, now: number): Told | null {
  const { state, detail, directive, since, override } = journal;
  const isNews = Math.abs(now - since) < NEWS_MS;
  const epoch = directive?.epoch ?? 0;
  const isUrgent = urgencyOf(journal, now) !== undefined;
  switch (state) {
    case 'DEFERRED':
      if (isUrgent) return { topic: 'asked', kind: 'waiting', actions: ['now'] };
      return putOff(journal, now) ?? { topic: isDownload(journal) ? 'download' : 'waiting', kind: 'waiting', actions: choices(journal) };
    case 'BOOT_STAGED':
      if (detail?.code === 'STAGING' || detail?.code === 'AWAITS_RESTART') return null;
      return putOff(journal, now) ?? { topic: 'restart', kind: 'restart-needed', actions: choices(journal) };
    case 'PRECHECK':
    case 'ACTIVATING':
    case 'VERIFYING':
      return isUrgent ? { topic: 'asked', kind: 'waiting', actions: [], id: `asked:${epoch}` } : null;
    case 'SUCCEEDED':
      if (!isNews || detail?.code === 'ALREADY_ON_IT') return null;
      return { topic: 'updated', kind: 'switched', actions: ['rollback'] };
    case 'TRYING':
      return { topic: 'trial', kind: 'switched', actions: ['rollback'] };
    case 'ROLLING_BACK':
      return detail?.code === 'ASKED' ? { topic: 'going-back', kind: 'switched', actions: [] } : null;
    case 'IDLE':
      if (!isNews) return null;
      return override?.by === 'rollback' || detail?.code === 'TRIAL_OVER' ? { topic: 'went-back', kind: 'switched', actions: [] } : null;
    case 'ROLLED_BACK':
      return isNews ? { topic: 'failed', kind: 'put-back', actions: [] } : null;
    case 'ROLLBACK_FAILED':
      return { topic: 'stuck', kind: 'problem', actions: [] };
    default:
      return null;
  }
}

function isDownload({ detail }: AgentJournal): boolean {
  return detail?.wait?.what === 'download';
}

/** "Later" only where it is granted, and puts something off: a download waits for a network, and not for users. */
function choices({ detail }: AgentJournal): NoticeAction[] {
  const wait = detail?.wait;
  // It has begun.
  if (detail?.code === 'RESTARTING') return [];
  const hasLater = wait === undefined ? detail?.code !== 'REBOOT_FAILED' : wait.laterLeft !== 0 && !isHeldDownload(wait);
  return hasLater ? ['later', 'now'] : ['now'];
}

/** Users know, and are asked again shortly before it begins. */
function putOff(journal: AgentJournal, now: number): Told | null {
  const until = putOffUntil(journal, now);
  return until === null ? null : { topic: 'put-off', kind: 'waiting', actions: [], id: `put-off:${journal.directive?.epoch ?? 0}:${until}` };
}

function putOffUntil({ state, deferral, detail }: AgentJournal, now: number): number | null {
  const startsAt = detail?.wait?.startsAt ?? null;
  if ((state !== 'DEFERRED' && state !== 'BOOT_STAGED') || startsAt === null || (deferral?.laterCount ?? 0) === 0) return null;
  return now < startsAt - REMIND_MS ? startsAt - REMIND_MS : null;
}

/** What the words are made of, without how they say a time today: the same notice is shown once. */
function factsOf({ detail }: AgentJournal): string {
  const wait = detail?.wait;
  return wait === undefined ? '' : [...wait.codes, wait.startsAt, wait.latestAt, ...wait.programs].join();
}
