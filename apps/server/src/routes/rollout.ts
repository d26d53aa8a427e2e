import { isFrozen, MAX_LABEL_STOPS, standingStops, type Action, type Freeze, type LabelStop } from '@floe/model';
import {
  CommitSha,
  foreign,
  HostLabel,
  RingName,
  SeenId,
  Timestamp,
  RevisionView,
  RolloutAnswer,
  RolloutHostsView,
  RolloutPlanView,
} from '@floe/protocol';
import type { Clock, Logger } from '@floe/runtime';
import type { PlainStore, Repository, StorePart } from '@floe/store';
import { shortSha } from '@floe/views';
import { Hono, type Context } from 'hono';
import * as v from 'valibot';
import type { Auth, AuthEnv } from '../auth.ts';
import type { FleetReader } from '../fleet-reader.ts';
import { refuse } from '../http-error.ts';
import { answers, takes } from '../openapi/described.ts';
import { rolloutFacts } from '../rollouts/facts.ts';
import {
  builtFirstWords,
  freezeWords,
  judgeAbort,
  judgeApproval,
  judgeHotfix,
  judgeResume,
  labelStopWords,
  pauseNote,
  unfrozenWords,
  type AskedRollout,
  type Judged,
  type OrderOfPerson,
} from '../rollouts/orders.ts';
import { findPlan, type FindPlanDeps } from '../rollouts/find-plan.ts';
import { glassAnswer, neededForGlass } from '../rollouts/glass.ts';
import { revertScope } from '../rollouts/revert.ts';
import { decide, type DecisionWords } from './decide.ts';
import { ReasonText, refuseIfPast, ShaPrefix } from './validation.ts';

/** `label`: only the hosts that have it. */
const Pause = foreign(v.strictObject({ reason: ReasonText, until: v.optional(Timestamp), label: v.optional(HostLabel) }));
/** `since`: of the pause that the person saw. `label`: ends the pause of its hosts, and no other. */
const Resume = foreign(v.strictObject({ reason: ReasonText, since: v.optional(Timestamp), label: v.optional(HostLabel) }));
/** `commit`: of which rollout; it may have been superseded since the person looked. */
const Abort = foreign(v.strictObject({ reason: ReasonText, commit: CommitSha, revert: v.optional(v.boolean(), false) }));
/** Undefined: the one that hosts follow. */
const Planned = v.object({ commit: v.optional(ShaPrefix) });
/** `now`: it does not wait for verified hosts either. */
const Hotfix = foreign(v.strictObject({ reason: ReasonText, commit: CommitSha, now: v.optional(v.boolean(), false) }));
const Glass = foreign(v.strictObject({ reason: ReasonText, commit: CommitSha }));
const Approval = foreign(v.strictObject({ reason: ReasonText, commit: CommitSha, ring: RingName, seen: v.optional(SeenId) }));

const OfRing = foreign(v.strictObject({ ring: v.optional(RingName) }));

/** So often an order is judged and stored, while the rollout moves on each time. */
const MOST_TRIES = 10;

function changedWords({ by, reason }: Pick<Freeze, 'by' | 'reason'>): string {
  return `${by} has paused it since you looked (${reason}): look at that, and decide again`;
}

export interface RolloutRouteDeps {
  readonly auth: Auth;
  readonly store: StorePart<{
    hosts: 'fleet';
    revisions: 'get' | 'newest';
    rollouts: 'freezeOf';
    tokens: 'listApiTokens';
  }> &
    Pick<PlainStore, 'decide'> &
    FindPlanDeps['store'];
  readonly repository: Repository;
  readonly reader: Pick<FleetReader, 'rollout' | 'rolloutHosts'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What people ask of the rollout that hosts follow. It is stored; the next decision about the rollout goes by it. */
export function rolloutRoutes(deps: RolloutRouteDeps): Hono<AuthEnv> {
  const { auth, store, repository, reader, clock, logger } = deps;
  const { requireAction } = auth;
  const app = new Hono<AuthEnv>();

  async function current(): Promise<AskedRollout | undefined> {
    const { rollout, hosts, next } = await store.hosts.fleet(repository.id);
    const revision = rollout === undefined ? undefined : await store.revisions.get(rollout.revisionId);
    if (rollout === undefined || revision === undefined) return undefined;
    return { sha: revision.sha, rollout, facts: rolloutFacts(rollout, hosts, clock.now()), next };
  }

  async function refuseNone(c: Context) {
    const freeze = await store.rollouts.freezeOf(repository.id);
    const paused =
      freeze !== undefined && isFrozen({ freeze }, clock.now()) ? `, and waits for the end of the pause of ${freeze.by}: ${freeze.reason}` : '';
    return refuse(c, 404, 'NO_ROLLOUT', `nothing was rolled out yet: the first commit that is published begins a rollout${paused}`);
  }

  function words(action: Action, sha: string, reason: string): DecisionWords {
    return { action, subject: sha, detail: reason };
  }

  function answer(c: Context<AuthEnv>, message: string, isRepeat = false) {
    logger.info('a decision about the rollout', { path: c.req.path, actor: c.var.actor.name, message });
    const body: RolloutAnswer = { outcome: isRepeat ? 'repeated' : 'done', message };
    return c.json(body);
  }

  /** What all orders have in common: there is a rollout, the judge allows it, and it is written down. */
  async function ask(c: Context<AuthEnv>, action: Action, reason: string, judge: (asked: AskedRollout, by: OrderOfPerson) => Judged, how = '') {
    const { name, role, person } = c.var.actor;
    const by: OrderOfPerson = { by: name, person, role, reason, at: clock.now() };
    // What somebody is told is so: of a rollout that has moved since it was read, it is judged again.
    for (let tries = 0; tries < MOST_TRIES; tries += 1) {
      const asked = await current();
      if (asked === undefined) return await refuseNone(c);
      const judged = judge(asked, by);
      if (judged.kind === 'refused') return refuse(c, 409, judged.code, judged.message);
      if (judged.kind === 'repeat') return answer(c, judged.message, true);
      const { id, sha, version } = judged.of ?? { id: asked.rollout.id, sha: asked.sha, version: asked.rollout.version };
      const isStored = await decide(
        deps,
        c,
        async ({ rollouts }) => await rollouts.order({ rolloutId: id, version, ...judged.order, ...by }),
        (stored) => (stored ? words(action, sha, `${how}${reason}${judged.openly ?? ''}`) : undefined),
      );
      if (isStored) return answer(c, judged.message);
    }
    return refuse(c, 409, 'ROLLOUT_MOVED', 'the rollout moved while this was stored, each time that it was tried: nothing was changed, ask again');
  }

  async function stop(c: Context<AuthEnv>, asked: AskedRollout, wanted: LabelStop) {
    const { label } = wanted;
    const stopped = await decide(
      deps,
      c,
      async ({ rollouts }) => await rollouts.stopLabel(repository.id, wanted),
      (done) => (done === 'too-many' ? undefined : words('pause-rollout', asked.sha, pauseNote(wanted, done.replaced))),
    );
    if (stopped === 'too-many')
      return refuse(c, 409, 'TOO_MANY_PAUSES', `${MAX_LABEL_STOPS} labels are paused already: end one of them first, or pause all rollouts`);
    const { hosts } = await store.hosts.fleet(repository.id);
    const has = hosts.filter(({ situation }) => situation.stops?.some((each) => each.label === label) === true);
    return answer(c, labelStopWords(wanted, has.length, stopped.replaced));
  }

  async function start(
    c: Context<AuthEnv>,
    asked: AskedRollout,
    { label, since, reason }: { readonly label: string } & v.InferOutput<typeof Resume>,
  ) {
    const seen = standingStops(asked.rollout.orders, clock.now()).find((each) => each.label === label);
    if (seen === undefined) return refuse(c, 409, 'NOT_PAUSED', `the label ${label} is not paused: floe rollout status shows what is`);
    if (since !== undefined && since !== seen.at) return refuse(c, 409, 'PAUSE_CHANGED', changedWords(seen));
    const isOver = await decide(
      deps,
      c,
      async ({ rollouts }) => await rollouts.startLabel(repository.id, seen),
      (ended) => (ended ? words('resume-rollout', asked.sha, `the label ${label}: ${reason}`) : undefined),
    );
    if (!isOver) return refuse(c, 409, 'PAUSE_CHANGED', 'somebody else ended or replaced that pause in this moment: look at the rollout again');
    return answer(c, `the pause of ${seen.by} is over: hosts with the label ${label} go on with the rollout, within its gates and limits.`);
  }

  app.get('/', requireAction('read'), answers('the rollout that hosts follow, with its commit', RevisionView), async (c) => {
    const view = await reader.rollout();
    return view === undefined ? await refuseNone(c) : c.json(view);
  });

  app.get(
    '/hosts',
    requireAction('read'),
    answers('who is how far in the rollout that hosts follow; with `ring` only the hosts of that one', RolloutHostsView),
    takes('query', OfRing),
    async (c) => {
      const { ring } = c.req.valid('query');
      const view = await reader.rolloutHosts();
      if (view === undefined) return await refuseNone(c);
      return c.json({ ...view, hosts: view.hosts.filter((each) => ring === undefined || each.ring === ring) } satisfies RolloutHostsView);
    },
  );

  app.get(
    '/plan',
    requireAction('read'),
    answers(
      'what is to come of the rollout that hosts follow, or of a commit whose rollout has not begun, also before it is published',
      RolloutPlanView,
    ),
    takes('query', Planned),
    async (c) => {
      const { commit } = c.req.valid('query');
      const found = await findPlan({ store, repository }, commit, clock.now());
      if (found.kind === 'none') return await refuseNone(c);
      return found.kind === 'plan' ? c.json(found.plan) : refuse(c, found.status, found.code, found.message);
    },
  );

  app.post(
    '/pause',
    requireAction('pause-rollout'),
    answers('pauses all rollouts, or the hosts of one label, until a person resumes or `until`', RolloutAnswer),
    takes('json', Pause),
    async (c) => {
      const { reason, until, label } = c.req.valid('json');
      const now = clock.now();
      const past = refuseIfPast(c, until, now);
      if (past !== undefined) return past;
      const asked = await current();
      if (label !== undefined)
        return asked === undefined ? await refuseNone(c) : await stop(c, asked, { label, by: c.var.actor.name, reason, at: now, until });
      // Also before there is a rollout: a server whose database was lost follows the branch from its first moment.
      const before = await decide(
        deps,
        c,
        async ({ rollouts }) => await rollouts.freeze(repository.id, { by: c.var.actor.name, reason, at: now, until }),
        (replaced) => words('pause-rollout', asked?.sha ?? repository.branch, pauseNote({ reason, until }, replaced)),
      );
      return answer(c, freezeWords(until, before));
    },
  );

  app.post('/resume', requireAction('resume-rollout'), answers('ends a pause', RolloutAnswer), takes('json', Resume), async (c) => {
    const { reason, since, label } = c.req.valid('json');
    const asked = await current();
    if (label !== undefined) return asked === undefined ? await refuseNone(c) : await start(c, asked, { label, since, reason });
    const freeze = await store.rollouts.freezeOf(repository.id);
    if (freeze === undefined || !isFrozen({ freeze }, clock.now())) return await ask(c, 'resume-rollout', reason, (now) => judgeResume(now, since));
    // Whoever saw another pause does not end this one.
    if (since !== undefined && since !== freeze.at) return refuse(c, 409, 'PAUSE_CHANGED', changedWords(freeze));
    const isOver = await decide(
      deps,
      c,
      async ({ rollouts }) => await rollouts.unfreeze(repository.id, freeze),
      (ended) => (ended ? words('resume-rollout', asked?.sha ?? repository.branch, reason) : undefined),
    );
    if (!isOver) return refuse(c, 409, 'PAUSE_CHANGED', 'somebody else ended or replaced that pause in this moment: look at the rollout again');
    return answer(
      c,
      asked === undefined ? `The pause of ${freeze.by} is over: the first commit that is published begins a rollout.` : unfrozenWords(asked),
    );
  });

  app.post(
    '/abort',
    requireAction('abort-rollout'),
    answers('ends the rollout; hosts that it reached stay where they are, or with `revert` go back to stable', RolloutAnswer),
    takes('json', Abort),
    async (c) => {
      const { reason, commit, revert } = c.req.valid('json');
      const scope = revert ? revertScope((await store.hosts.fleet(repository.id)).hosts) : undefined;
      return await ask(c, 'abort-rollout', reason, (asked) => judgeAbort(asked, commit, scope), revert ? 'with revert: ' : '');
    },
  );

  app.post(
    '/approve',
    requireAction('approve-rollout'),
    answers('approves a ring of the rollout', RolloutAnswer),
    takes('json', Approval),
    async (c) => {
      const { reason, ...wanted } = c.req.valid('json');
      return await ask(c, 'approve-rollout', reason, (asked, by) => judgeApproval(asked, wanted, by));
    },
  );

  app.post(
    '/hotfix',
    requireAction('hotfix-rollout'),
    answers(
      'lets the rollout skip soaks and windows; with `now` the wait for verified hosts, too, if enough people ask. One that waits for the build of another is built at once',
      RolloutAnswer,
    ),
    takes('json', Hotfix),
    async (c) => {
      const { reason, commit, now } = c.req.valid('json');
      const ended = await decide(
        deps,
        c,
        async ({ repositories, revisions }) => {
          const older = await revisions.endOlder(repository.id, commit, clock.now());
          if (older.length > 0) await repositories.wake(repository.id);
          return older;
        },
        (older) => (older.length === 0 ? undefined : words('hotfix-rollout', commit, `before what was built: ${reason}`)),
      );
      if (ended.length > 0) return answer(c, builtFirstWords(commit, ended));
      return await ask(c, 'hotfix-rollout', reason, (asked, by) => judgeHotfix(asked, commit, by, now), now ? 'now: ' : '');
    },
  );
  app.post(
    '/break-glass',
    requireAction('break-glass'),
    answers("lets the newest commit pass below the policy floor of the server's settings, if enough people ask", RolloutAnswer),
    takes('json', Glass),
    async (c) => {
      const { reason, commit } = c.req.valid('json');
      const newest = await store.revisions.newest(repository.id);
      if (newest?.sha !== commit)
        return refuse(
          c,
          409,
          'REVISION_NOT_NEWEST',
          `only the newest commit can pass, which is ${newest === undefined ? 'none yet' : shortSha(newest.sha)}`,
        );
      const { name: by, role, person } = c.var.actor;
      const at = clock.now();
      const needed = neededForGlass(await store.tokens.listApiTokens(), person, at);
      const outcome = await decide(
        deps,
        c,
        async ({ repositories, revisions }) => {
          const broken = await revisions.breakGlass(newest.id, { by, role, person, reason, at }, needed);
          if (broken === 'broken') await repositories.wake(repository.id);
          return broken;
        },
        (came) => {
          if (came === 'stale' || came === 'repeated') return undefined;
          return words('break-glass', commit, came === 'waits' ? `a second person is needed: ${reason}` : reason);
        },
      );
      if (outcome === 'stale')
        return refuse(c, 409, 'NOT_BELOW_FLOOR', `${shortSha(commit)} was not refused for a policy below the floor of the server's settings`);
      return answer(c, glassAnswer(commit, outcome), outcome === 'repeated');
    },
  );
  return app;
}
