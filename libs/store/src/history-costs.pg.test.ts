import type { CommitSha, HostName } from '@floe/model';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readMarks } from './fleet-marks.ts';
import { KEEP_HOST_STATEMENTS } from './host-statements.ts';
import { readStories } from './rollout-stories.ts';
import { COUNTED_DATABASES, type CountedDatabase } from './test/counted-database.ts';
import { storesOn } from './test/stores-on.ts';
import { commit, newRelease, path, presence, report, toBuilding } from './test/test-store.ts';

// What is looked at costs as much after hundreds of commits as after one: rows are counted, not time.

const HOSTS = 40;
const COMMITS = 200;
const COMPLETE_EVERY = 20;
/** A plan for large tables may read a row more of each host than one for small ones. */
const GROWS_BY = 1.6;
/** So many revisions or reports a list shows, as soon as there are so many. */
const LISTED = 20;

function open(db: CountedDatabase['db']) {
  return {
    ...storesOn(db),
    marks: async () => await readMarks(db, { repositoryId: 'fleet', now: 1 }),
    stories: async (id: string) => await readStories(db, [id]),
  };
}
type Stores = ReturnType<typeof open>;

const hostOf = (n: number): HostName => `host${n}` as HostName;
const ALL = Array.from({ length: HOSTS }, (_, index) => hostOf(index + 1));
const idOf = (n: number): string => `revision${n}`;

/** Commits `from` to `to`, each of which changed every host. Few were complete: the newest of these is looked for from the newest commit on. */
async function addCommits(db: CountedDatabase['db'], from: number, to: number): Promise<void> {
  const commits = sql.raw(`generate_series(${from}, ${to}) n`);
  const each = sql.raw(`generate_series(${from}, ${to}) n, generate_series(1, ${HOSTS}) h`);
  const sha = sql.raw(`lpad(n::text, 40, '0')`);
  const state = sql.raw(`case when n = ${to} then 'ROLLING' when n % ${COMPLETE_EVERY} = 1 then 'COMPLETE' else 'SUPERSEDED' end`);
  await db.execute(sql`update rollouts set state = 'SUPERSEDED' where state = 'ROLLING'`);
  await db.execute(sql`
    insert into revisions (id, repository_id, sha, sequence, state, subject, author_name, author_email, committed_at, received_at)
    select 'revision' || n, 'fleet', ${sha}, n, 'PUBLISHED', '', '', '', n, n from ${commits}`);
  await db.execute(
    sql`insert into rollouts (id, revision_id, state, started_at) select 'rollout' || n, 'revision' || n, ${state}, n from ${commits}`,
  );
  await db.execute(sql`
    insert into rollout_stories (revision_id, at, counts, leaving, hosts) select 'revision' || n, n, '{}', 0, '[]' from ${commits}`);
  await db.execute(sql`
    insert into evaluations (revision_id, host, outcome, toplevel)
    select 'revision' || n, 'host' || h, 'CHANGED', '/nix/store/' || repeat('0', 32) || '-' || n from ${each}`);
  await db.execute(sql`
    insert into releases (id, repository_id, revision_id, host, sequence, toplevel, commit, issued_at, envelope)
    select 'release' || n || '-' || h, 'fleet', 'revision' || n, 'host' || h, n, '/nix/store/' || repeat('0', 32) || '-' || n, ${sha}, n, '{}' from ${each}`);
  await db.execute(sql`
    insert into status_outbox (repository_id, sha, context, state, description, target_url, updated_at)
    select 'fleet', ${sha}, 'floe/' || h, 'success', '', '', n from generate_series(${from}::int, ${to}::int) n, generate_series(1, 3) h`);
  await db.execute(sql`
    insert into notification_outbox (target, key, event, created_at, is_done) select 'ops', n, '{}', n, true from ${commits}`);
  await db.execute(sql`
    insert into webhook_deliveries (forge, id, event, repository_id, after, outcome, received_at)
    select 'github', n, 'push', 'fleet', ${sha}, 'accepted', n from ${commits}`);
  await db.execute(sql`
    insert into audit_log (at, actor, action, subject, detail, count, hash) select n, 'ada', 'retry', 'host' || n, '', 1, n from ${commits}`);
  await db.execute(sql`
    insert into host_statements (host, kind, epoch, seq, public_key, envelope, at)
    select 'host' || h, 'end', n, n, 'key', '{}', n from ${each} where n > ${to - KEEP_HOST_STATEMENTS}`);
  await db.execute(sql`
    insert into reports (host, series, seq, epoch, state, observed, at, received_at) select 'host' || h, 0, n, n, 'IDLE', '{}', n, n from ${each}`);
  await db.execute(sql`
    insert into directives (host, epoch, release_id, mode, issued_at)
    select 'host' || h, n, 'release' || n || '-' || h, 'activate', n from ${each} where n > ${to - 200}`);
  await db.execute(sql`
    update hosts set report_seq = ${to}, epoch = ${to}, desired_release_id = 'release' || ${to}::text || '-' || substr(host, 5), desired_sequence = ${to}`);
  await db.execute(sql`update repositories set sequence = ${to}`);
}

/** Everything that loops, sockets, the page and the commands ask of the store, and what a push and a report write. */
const CALLS: Readonly<Record<string, (stores: Stores, last: number) => Promise<unknown>>> = {
  'the newest releases': async ({ releases }) => await releases.latest('fleet'),
  'the release of a host in a revision': async ({ releases }, last) =>
    await releases.ofRevision({ id: idOf(last - 1), repositoryId: 'fleet', sequence: last - 1 }, hostOf(7)),
  'the commits of systems': async ({ releases }, last) => await releases.commitsOf(ALL.map((host) => ({ host, toplevel: path(String(last)) }))),
  'a page of the releases': async ({ releases }) => await releases.page('fleet', LISTED),
  'a later page of the releases': async ({ releases }, last) => await releases.page('fleet', LISTED, { host: hostOf(7), sequence: last }),
  'the releases to offer': async ({ releases }, last) =>
    await releases.toOffer(
      'fleet',
      ALL.map((host) => `release${last}-${host.slice(4)}`),
    ),
  'the fleet': async ({ hosts }) => await hosts.fleet('fleet'),
  'whether the fleet is as it was': async ({ marks }) => await marks(),
  'one host of the fleet': async ({ hosts }) => await hosts.fleet('fleet', [hostOf(7)]),
  'the hosts': async ({ hosts }) => await hosts.list('fleet'),
  'the story of a revision': async ({ stories }, last) => await stories(idOf(last)),
  'the newest revision': async ({ revisions }) => await revisions.newest('fleet'),
  'the newest revision of the branch': async ({ revisions }) => await revisions.newestOfBranch('fleet'),
  'what was submitted and waits': async ({ handovers }) => await handovers.waiting('fleet'),
  'the newest published revision': async ({ revisions }) => await revisions.newestPublished('fleet'),
  'the newest finished revision': async ({ revisions }) => await revisions.newestFinished('fleet'),
  'the next unfinished revision': async ({ revisions }) => await revisions.nextUnfinished('fleet'),
  'which revision waits for an older one': async ({ revisions }) => await revisions.waiting('fleet'),
  'whether a newer revision waited long enough': async ({ revisions }, last) => await revisions.endOverdue('fleet', last),
  'a list of revisions': async ({ revisions }) => await revisions.list('fleet', LISTED),
  'the revisions to tell': async ({ revisions }) => await revisions.listToTell('fleet', LISTED),
  'a later list of revisions': async ({ revisions }, last) => await revisions.list('fleet', LISTED, last),
  'the evaluations of a revision': async ({ revisions }, last) => await revisions.evaluations(idOf(last)),
  'the evaluation of a host': async ({ revisions }, last) => await revisions.evaluationsAbout(idOf(last), hostOf(7)),
  'the evaluations of some revisions': async ({ revisions }, last) => await revisions.evaluationsOf([idOf(last), idOf(last - 1)]),
  'the next retry': async ({ revisions }, last) => await revisions.nextRetryAt(idOf(last)),
  'the last delivery': async ({ deliveries }, last) => await deliveries.latestFor('fleet', String(last).padStart(40, '0') as CommitSha),
  'the newest pushes': async ({ deliveries }) => await deliveries.newestPushes('fleet'),
  'the reports of a host': async ({ reports }) => await reports.list(hostOf(7), LISTED),
  'the logs of failures': async ({ reports }, last) => await reports.failureLogs([{ host: hostOf(7), toplevel: path(String(last)) }]),
  'the log of a report': async ({ reports }, last) => await reports.log({ host: hostOf(7), series: 0, seq: last }),
  'a page of what hosts signed': async ({ hostStatements }) => await hostStatements.page(LISTED),
  'a later page of what hosts signed': async ({ hostStatements }, last) =>
    await hostStatements.page(LISTED, { host: hostOf(7), kind: 'end', epoch: last }),
  'a page of the audit log': async ({ audit }) => await audit.page(LISTED),
  'a later page of the audit log': async ({ audit }, last) => await audit.page(LISTED, last - 1),
  'the statuses that are due': async ({ outbox }) => await outbox.claimDue({ now: 1e9, limit: 10, leaseMs: 1 }),
  'the next due status': async ({ outbox }) => await outbox.nextDueAt(),
  'what a notification target is sent': async ({ notifications }) => await notifications.claim('ops', 1e9, 1),
  'how it goes with notification targets': async ({ notifications }) => await notifications.states(),
  'a host that connects': async ({ hosts }, last) => await hosts.connect(hostOf(7), presence({ epoch: last, sequence: last, reportSeq: last })),
  'a report': async ({ reports }, last) => await reports.store([report(hostOf(7), last + 1, { state: 'ROLLED_BACK', toplevel: path(String(last)) })]),
  'desired releases': async ({ hosts }, last) =>
    await hosts.desire(
      ALL.map((host) => ({ host, id: `release${last}-${host.slice(4)}`, toplevel: path(String(last)), sequence: last })),
      1,
    ),
  'told directives': async ({ hosts }, last) =>
    await hosts.saveDirectives([{ host: hostOf(7), epoch: last + 1, releaseId: `release${last}-7`, mode: 'activate', issuedAt: 1 }]),
  'a commit that is taken in, published and replaced': async ({ revisions, releases }, last) => {
    const about = { subject: '', authorName: '', authorEmail: '', committedAt: 1 };
    const revision = await revisions.receive('fleet', { sha: commit('a'), ...about, receivedAt: last + 1, fetchedAt: last + 1 });
    await toBuilding({ revisions }, revision.id);
    await revisions.noteError(revision.id, 'why');
    await releases.publish(
      revision.id,
      ALL.map((host) => newRelease(revision, host, path('next'))),
      last + 1,
    );
  },
  'hosts that left the flake': async ({ hosts }, last) => await hosts.forgetLeft('fleet', idOf(last)),
};

/** Looks its few pending commits up among the revisions: there is no index of commits, and a plan for any parameters reads all revisions. */
const UNINDEXED = 'the revisions to tell';

describe.each(COUNTED_DATABASES)('on $name', (kind) => {
  let database: CountedDatabase;
  const atFirst = new Map<string, number>();
  const analyzed = new Map<string, number>();
  const generic = new Map<string, number>();
  const unknown = new Map<string, number>();

  /** Each call in a transaction of its own that is taken back: the next one finds the same. */
  async function measure(into: Map<string, number>, last: number): Promise<void> {
    for (const [name, call] of Object.entries(CALLS)) {
      const undo = new Error('taken back');
      const read = await database.rowsRead(async () => {
        const rolledBack = database.db.transaction(async (tx) => {
          await call(open(tx), last);
          throw undo;
        });
        await rolledBack.catch((error: unknown) => {
          if (error !== undo) throw error;
        });
      });
      into.set(name, read);
    }
  }

  beforeAll(async () => {
    database = await kind.open();
    const { db } = database;
    await db.execute(
      sql`insert into repositories (id, url, branch, created_at, sequence) values ('fleet', 'https://forge.example/fleet.git', 'main', 1, 1)`,
    );
    await db.execute(
      sql`insert into hosts (host, repository_id, public_key, enrolled_at) select 'host' || n, 'fleet', 'key' || n, 1 from generate_series(1, ${HOSTS}::int) n`,
    );
    await db.execute(sql`insert into notification_targets (name, since, seen_at) values ('ops', 1, 1)`);
    // The plans for tables that are too large to be read as a whole, which these are not.
    await db.execute(sql`set enable_seqscan = off`);
    await addCommits(db, 1, 1);
    await measure(atFirst, 1);
    await addCommits(db, 2, COMMITS);
    await measure(unknown, COMMITS);
    await db.execute(sql`analyze`);
    await measure(analyzed, COMMITS);
    // As after some uses of a prepared statement: planned once, for any parameters.
    await db.execute(sql`set plan_cache_mode = force_generic_plan`);
    await measure(generic, COMMITS);
  });
  afterAll(async () => await database[Symbol.asyncDispose]());

  function expectNoGrowth(name: string, many: number | undefined): void {
    expect(many).toBeLessThanOrEqual(GROWS_BY * (atFirst.get(name) ?? Number.NaN) + 3 * COMPLETE_EVERY + LISTED);
  }

  test.each(Object.keys(CALLS))(`%s: no more rows are looked at for ${COMMITS} commits than for one`, (name) => {
    expectNoGrowth(name, analyzed.get(name));
    if (name !== UNINDEXED) expectNoGrowth(name, generic.get(name));
  });

  test.each(['the newest releases', 'the fleet', 'a report'])('%s: not even by a planner that does not know the tables yet', (name) => {
    expectNoGrowth(name, unknown.get(name));
  });
});
