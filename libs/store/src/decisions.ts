import { writeLogged } from './audit.ts';
import type { Database } from './database.ts';
import type { Lease } from './records.ts';
import type { Decided, DecisionStore, Store } from './store.ts';

/**
 * What each method of the store is:
 * `read`: changes nothing.
 * `write`: stores what happened, or what Floe has to remember of its own work.
 * `decision`: stores what somebody decided, or what Floe decided in a person's place. Only `Store.decide` reaches it.
 * `logged`: writes the entry itself: it takes it as an argument, because only it knows whether something was decided.
 * A method without a kind does not compile. A test lists each `write` and `logged` that a route may call, with the reason.
 */
export const METHOD_KINDS = {
  server: {
    keys: 'read',
    claim: 'write',
    beat: 'write',
    leave: 'write',
    setClockHigh: 'decision',
    probe: 'write',
    tidy: 'write',
  },
  repositories: {
    ensure: 'write',
    ensureDefault: 'write',
    moveAddress: 'write',
    nameBranch: 'write',
    get: 'read',
    wake: 'write',
    claim: 'write',
    renew: 'write',
    lease: 'read',
    unclaim: 'write',
    recordFetch: 'write',
    hold: 'write',
    noteAdvice: 'write',
    allow: 'decision',
    accept: 'write',
    raiseSequence: 'write',
    tellNotices: 'write',
    noticesOfBuilders: 'read',
  },
  deliveries: {
    record: 'write',
    latestFor: 'read',
    pusherOf: 'read',
    newestPushes: 'read',
    prune: 'write',
  },
  revisions: {
    receive: 'write',
    get: 'read',
    newest: 'read',
    newestOfBranch: 'read',
    nextUnfinished: 'read',
    newestPublished: 'read',
    newestPublishedOfBranch: 'read',
    newestFinished: 'read',
    list: 'read',
    listToTell: 'read',
    byShaPrefix: 'read',
    advance: 'write',
    supersede: 'write',
    waiting: 'read',
    endOverdue: 'write',
    endOlder: 'decision',
    replaced: 'read',
    takeUp: 'decision',
    reopen: 'decision',
    noteError: 'write',
    noteWarnings: 'write',
    noteSigners: 'write',
    savePolicy: 'write',
    noteSource: 'write',
    noteSameSource: 'write',
    saveEvaluations: 'write',
    noteEvaluated: 'write',
    saveBuilds: 'write',
    savePublished: 'write',
    noteBuilds: 'write',
    buildsOf: 'read',
    nextRetryAt: 'read',
    evaluations: 'read',
    evaluationsAbout: 'read',
    evaluationsOf: 'read',
    prune: 'write',
    noteBelowFloor: 'write',
    breakGlass: 'decision',
  },
  releases: {
    handOut: 'write',
    publish: 'write',
    hostsOf: 'read',
    importStatement: 'write',
    ofRevision: 'read',
    latest: 'read',
    systemsInUse: 'read',
    submitted: 'read',
    toOffer: 'read',
    commitsOf: 'read',
    saveFreshness: 'write',
    highestAsOf: 'read',
    prune: 'write',
    renew: 'write',
    page: 'read',
  },
  rollouts: {
    stories: 'read',
    save: 'logged',
    begin: 'decision',
    supersededInARow: 'read',
    ofRevision: 'read',
    completeBefore: 'read',
    authorsOf: 'read',
    order: 'decision',
    claimProbe: 'write',
    answerProbe: 'write',
    freeze: 'decision',
    freezeOf: 'read',
    unfreeze: 'decision',
    stopLabel: 'decision',
    startLabel: 'decision',
  },
  stable: {
    unlogged: 'read',
    noteLogged: 'write',
    relog: 'write',
    restore: 'write',
  },
  hosts: {
    ensure: 'write',
    get: 'read',
    list: 'read',
    enrol: 'decision',
    revoke: 'decision',
    forget: 'decision',
    forgetLeft: 'decision',
    markCloned: 'decision',
    clearCloned: 'decision',
    connect: 'write',
    disconnect: 'write',
    disconnectAll: 'write',
    present: 'read',
    reconnect: 'write',
    renewLease: 'write',
    expirePresence: 'write',
    fleet: 'read',
    desire: 'write',
    takeSlot: 'write',
    retry: 'decision',
    deploy: 'decision',
    pin: 'decision',
    unpin: 'decision',
    beginTrial: 'decision',
    endTrial: 'write',
    logTrialEnd: 'logged',
    quarantine: 'write',
    noteRefusal: 'write',
    forgetRefusals: 'write',
    saveDirectives: 'write',
    pruneDirectives: 'write',
    orderQuarantine: 'decision',
    liftQuarantine: 'decision',
    pruneQuarantines: 'write',
    rename: 'decision',
    noteRenamed: 'write',
    renamed: 'read',
    stopTrial: 'decision',
  },
  submissions: {
    request: 'decision',
    waiting: 'read',
    note: 'write',
    fail: 'logged',
    cancel: 'decision',
    number: 'write',
    finish: 'logged',
  },
  handovers: {
    request: 'decision',
    get: 'read',
    systems: 'read',
    waiting: 'read',
    note: 'write',
    refuse: 'logged',
    take: 'write',
    revisionOf: 'read',
    prune: 'write',
  },
  testing: {
    list: 'read',
    save: 'write',
    remove: 'write',
    begin: 'decision',
    refuse: 'write',
  },
  signing: {
    ask: 'write',
    waiting: 'read',
    answer: 'write',
    prune: 'write',
  },
  reports: {
    store: 'write',
    list: 'read',
    log: 'read',
    failureLogs: 'read',
    prune: 'write',
  },
  tokens: {
    createApiToken: 'decision',
    describeApiToken: 'decision',
    findApiToken: 'read',
    listApiTokens: 'read',
    noteUse: 'write',
    administrators: 'read',
    revokeApiToken: 'decision',
    pruneApiTokens: 'write',
    createSession: 'write',
    findSession: 'read',
    endSession: 'write',
    pruneSessions: 'write',
    createEnrolmentToken: 'decision',
    voidEnrolmentTokens: 'decision',
    pruneEnrolmentTokens: 'write',
    consumeEnrolmentToken: 'write',
  },
  outbox: {
    putAll: 'write',
    claimDue: 'write',
    renew: 'write',
    markSent: 'write',
    markSeen: 'write',
    markRetry: 'write',
    markFailed: 'write',
    prune: 'write',
    nextDueAt: 'read',
  },
  notifications: {
    ensure: 'write',
    put: 'write',
    claim: 'write',
    markSent: 'write',
    markFailed: 'write',
    states: 'read',
    prune: 'write',
    pruneTargets: 'write',
  },
  audit: {
    append: 'logged',
    countRefusals: 'logged',
    list: 'read',
    head: 'read',
    check: 'read',
    prune: 'write',
    page: 'read',
  },
  hostStatements: {
    save: 'write',
    ofHost: 'read',
    page: 'read',
  },
} as const satisfies { readonly [Group in StoreGroup]: Readonly<Record<keyof Store[Group], MethodKind>> };

type MethodKind = 'read' | 'write' | 'decision' | 'logged';
type StoreGroup = keyof DecisionStore;

/** The methods of a group that are decisions. */
export type DecisionIn<Group extends keyof Store> = Group extends StoreGroup
  ? {
      [Method in keyof Store[Group]]: Method extends keyof (typeof METHOD_KINDS)[Group]
        ? (typeof METHOD_KINDS)[Group][Method] extends 'decision'
          ? Method
          : never
        : never;
    }[keyof Store[Group]]
  : never;

/** The store outside of its own tests: a decision can only be made in `decide`, which logs it. */
export type PlainStore = Omit<
  { readonly [Name in keyof Store]: Name extends StoreGroup ? Omit<Store[Name], DecisionIn<Name>> : Store[Name] },
  'underLease'
> & { underLease(lease: Lease): PlainStore };

/**
 * The part of the store that has these methods: `StorePart<{ hosts: 'get' | 'fleet'; audit: 'append' }>`. Decisions are not among them: they are
 * made in `Store.decide`.
 */
export type StorePart<Methods extends { readonly [Group in keyof Store]?: Exclude<keyof Store[Group], DecisionIn<Group>> }> = {
  readonly [Group in keyof Methods & keyof Store]: Pick<Store[Group], Methods[Group] & keyof Store[Group]>;
};

/** Leaves the transaction without a trace. */
class NothingDecided<Result> extends Error {
  override readonly name = 'NothingDecided';
  readonly result: Result;

  constructor(result: Result) {
    super('nothing was decided');
    this.result = result;
  }
}

/** A decision and its entry: both are stored, or none (SPEC O22). */
export async function decideLogged<Result>(db: Database, work: (tx: Database) => Promise<Decided<Result>>): Promise<Result> {
  let nothing: NothingDecided<Result> | undefined;
  try {
    return await writeLogged(db, async (tx, log) => {
      const { result, entries } = await work(tx);
      if (entries.length === 0) throw (nothing = new NothingDecided(result));
      await log(entries);
      return result;
    });
  } catch (error) {
    if (nothing !== undefined && error === nothing) return nothing.result;
    throw error;
  }
}
