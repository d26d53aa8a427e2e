import type { StatusState, StatusText } from './commit-status.ts';

// What the outbox keeps of one line on one commit, and what becomes of it. Pure: the store reads an entry, calls one of these
// functions, and writes what came out, in one transaction.
//
// Three rules hold together here:
// - one sender at a time has an entry, by a claim that ends by itself when its sender is gone;
// - a request that nobody answered may be recorded later, on top of a newer one: until that is out of the question, the forge is
//   looked at again and again, and sent again if it shows something else;
// - a description that only counts hosts is sent seldom, a change of the verdict at once.

/** A status that should stand. */
export interface StatusWish extends StatusText {
  readonly targetUrl: string;
}

export interface StatusEntry {
  readonly state: StatusState;
  readonly description: string;
  readonly targetUrl: string;
  /** See {@link StatusText}. */
  readonly isUnderWay: boolean;
  /** Grows with every change of what should stand. */
  readonly version: number;
  readonly sentVersion: number;
  /** When the newest version is to be sent. Undefined: the forge has it. */
  readonly dueAt: number | undefined;
  /** Tries of it in a row that came to nothing. */
  readonly attempts: number;
  /** The number of the newest claim. What comes of an older one counts no more. */
  readonly claim: number;
  readonly claimedUntil: number | undefined;
  /** When a request was last left without an answer. Undefined: none that could still be recorded. */
  readonly unsureSince: number | undefined;
  /** When the forge is to be looked at again. */
  readonly checkAt: number | undefined;
  /** Statuses that the forge has of this entry, or may have. */
  readonly posts: number;
  /** The earliest times at which a changed description, or a changed verdict, may be sent. */
  readonly wordsFrom: number;
  readonly verdictFrom: number;
  readonly lastError: string | undefined;
  readonly updatedAt: number;
}

/** What a sender has in hand. */
export interface StatusClaim {
  readonly claim: number;
  readonly claimedAt: number;
  readonly version: number;
  readonly state: StatusState;
  readonly isUnderWay: boolean;
}

/** After a missed answer the forge is first looked at again after this time, then each time after twice as long. */
const FIRST_CHECK_MS = 5_000;
/** GitHub ends a request after 10 s by itself; what a proxy holds back for longer than this is out of reach. */
export const LATE_RECORD_MS = 10 * 60_000;
/** A claim that would hold for longer is the trace of a clock that was wrong. */
export const MAX_LEASE_MS = 60_000;

const REST_MS = 10_000;
const MAX_REST_MS = 24 * 3_600_000;
/** The rest doubles with so many statuses: about 20 in 5 minutes, 60 in 2 hours, 100 in a day. A forge takes 1,000 of one line. */
const POSTS_PER_DOUBLING = 10;
/** A verdict may change so many times before it waits as words do. */
const FREE_VERDICTS = 100;

/** How long the words of a line of which the forge has `posts` are left as they are. */
export function restOfWords(posts: number): number {
  return Math.min(MAX_REST_MS, REST_MS * 2 ** Math.floor(posts / POSTS_PER_DOUBLING));
}

export function restOfVerdict(posts: number): number {
  return posts < FREE_VERDICTS ? 0 : restOfWords(posts - FREE_VERDICTS);
}

export function newStatusEntry(wish: StatusWish, now: number): StatusEntry {
  return {
    ...wished(wish),
    version: 1,
    sentVersion: 0,
    dueAt: now,
    attempts: 0,
    claim: 0,
    claimedUntil: undefined,
    unsureSince: undefined,
    checkAt: undefined,
    posts: 0,
    wordsFrom: 0,
    verdictFrom: 0,
    lastError: undefined,
    updatedAt: now,
  };
}

/** Another status is wanted. Undefined: it is the one that is wanted already. */
export function wantStatus(entry: StatusEntry, wish: StatusWish, now: number): StatusEntry | undefined {
  const next = wished(wish);
  const isSame = next.state === entry.state && next.description === entry.description && next.targetUrl === entry.targetUrl;
  if (isSame && next.isUnderWay === entry.isUnderWay) return undefined;
  const from = Math.max(now, isTurn(entry, next) ? entry.verdictFrom : entry.wordsFrom);
  if (isSame) return { ...entry, ...next, dueAt: entry.dueAt === undefined || entry.attempts > 0 ? entry.dueAt : Math.min(entry.dueAt, from) };
  // After a failed try the time is the forge's wish, or our patience with it.
  const dueAt = entry.dueAt === undefined ? from : entry.attempts > 0 ? entry.dueAt : Math.min(entry.dueAt, from);
  return { ...entry, ...next, version: entry.version + 1, dueAt, updatedAt: now };
}

/** When somebody is to take the entry; undefined: there is nothing to do about it. */
export function statusDueAt({ dueAt, checkAt, claimedUntil }: StatusEntry): number | undefined {
  if (dueAt === undefined && checkAt === undefined) return undefined;
  return Math.max(Math.min(dueAt ?? Infinity, checkAt ?? Infinity), claimedUntil ?? 0);
}

/** A sender takes an entry that is due. One whose sender is gone may have been sent, or be sent yet. */
export function claimStatus(entry: StatusEntry, now: number, leaseMs: number): StatusEntry {
  const wasLeft = entry.claimedUntil !== undefined;
  return {
    ...entry,
    claim: entry.claim + 1,
    claimedUntil: now + leaseMs,
    unsureSince: wasLeft ? now : entry.unsureSince,
    attempts: wasLeft ? entry.attempts + 1 : entry.attempts,
  };
}

/** The sender is still at it. Undefined: another one has taken over. */
export function renewStatus(entry: StatusEntry, { claim }: StatusClaim, now: number, leaseMs: number): StatusEntry | undefined {
  return isHeld(entry, claim) ? { ...entry, claimedUntil: now + leaseMs } : undefined;
}

/** The forge has what was claimed: it was posted now, or was seen there. Undefined: another sender has taken over. */
export function settleStatus(
  entry: StatusEntry,
  claimed: StatusClaim,
  how: { readonly at: number; readonly isPosted: boolean },
): StatusEntry | undefined {
  if (!isHeld(entry, claimed.claim)) return undefined;
  const rested = how.isPosted ? countPost(entry, how.at) : entry;
  return {
    ...release(rested),
    attempts: 0,
    lastError: undefined,
    sentVersion: claimed.version,
    ...nextDue(rested, claimed, how.at),
    ...nextCheck(entry, claimed, how.at),
  };
}

/** Not yet: again at `dueAt`, with what is wanted by then. `missedAt`: when an answer was waited for in vain. */
export function postponeStatus(
  entry: StatusEntry,
  { claim }: StatusClaim,
  how: { readonly dueAt: number; readonly error: string; readonly missedAt: number | undefined },
): StatusEntry | undefined {
  if (!isHeld(entry, claim)) return undefined;
  const counted = how.missedAt === undefined ? entry : { ...countPost(entry, how.missedAt), unsureSince: how.missedAt };
  const dueAt = Math.max(how.dueAt, how.missedAt === undefined ? 0 : counted.verdictFrom);
  return { ...release(counted), attempts: entry.attempts + 1, lastError: how.error, dueAt, checkAt: undefined };
}

/** The forge will never take it; a newer one is tried. */
export function abandonStatus(
  entry: StatusEntry,
  claimed: StatusClaim,
  how: { readonly at: number; readonly error: string },
): StatusEntry | undefined {
  if (!isHeld(entry, claimed.claim)) return undefined;
  // It counts as posted: a forge that refuses one line after another gets fewer and fewer of them.
  const counted = countPost(entry, how.at);
  const rest = Math.max(counted.wordsFrom, counted.verdictFrom, how.at + restOfWords(counted.posts));
  const given = {
    ...release(counted),
    wordsFrom: rest,
    verdictFrom: rest,
    attempts: 0,
    lastError: how.error,
    sentVersion: claimed.version,
    unsureSince: undefined,
    checkAt: undefined,
  };
  return { ...given, dueAt: entry.version > claimed.version ? rest : undefined };
}

function wished({
  state,
  description,
  targetUrl,
  isUnderWay = false,
}: StatusWish): Pick<StatusEntry, 'state' | 'description' | 'targetUrl' | 'isUnderWay'> {
  return { state, description, targetUrl, isUnderWay };
}

/** Another verdict, or the last words on one: whoever waits for the commit waits for this. */
function isTurn(before: Pick<StatusEntry, 'state' | 'isUnderWay'>, next: Pick<StatusEntry, 'state' | 'isUnderWay'>): boolean {
  return before.state !== next.state || (before.isUnderWay && !next.isUnderWay);
}

function isHeld(entry: StatusEntry, claim: number): boolean {
  return entry.claim === claim && entry.claimedUntil !== undefined;
}

function release(entry: StatusEntry): StatusEntry {
  return { ...entry, claimedUntil: undefined };
}

function countPost(entry: StatusEntry, at: number): StatusEntry {
  const posts = entry.posts + 1;
  return { ...entry, posts, wordsFrom: at + restOfWords(posts), verdictFrom: at + restOfVerdict(posts) };
}

function nextDue(entry: StatusEntry, claimed: StatusClaim, at: number): Pick<StatusEntry, 'dueAt'> {
  if (entry.version === claimed.version) return { dueAt: undefined };
  return { dueAt: Math.max(at, isTurn(claimed, entry) ? entry.verdictFrom : entry.wordsFrom) };
}

/** Twice the time that has passed, so that a record that comes late is covered soon, at the price of few looks. */
function nextCheck({ unsureSince }: StatusEntry, { claimedAt }: StatusClaim, at: number): Pick<StatusEntry, 'unsureSince' | 'checkAt'> {
  // What the forge had after the claim: the time of the answer would be too kind.
  if (unsureSince === undefined || claimedAt - unsureSince >= LATE_RECORD_MS) return { unsureSince: undefined, checkAt: undefined };
  const afterMs = Math.min(LATE_RECORD_MS, Math.max(FIRST_CHECK_MS, 2 * (at - unsureSince)));
  return { unsureSince, checkAt: Math.max(at, unsureSince + afterMs) };
}
