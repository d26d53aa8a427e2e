import { isEndedRollout } from '@floe/model';
import { ActorView, RevisionView, RolloutAnswer, RolloutHostsView, RolloutPlanView, type RingName, type SeenId } from '@floe/protocol';
import { FloeError, isFloeError } from '@floe/runtime';
import { duration, shortSha, todoOfRollout } from '@floe/views';
import type { Command } from 'commander';
import * as v from 'valibot';
import type { ApiClient } from '../api-client.ts';
import { viewOf, type Cli } from '../cli.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { followFleet } from '../fleet-stream.ts';
import { formatPlan } from '../view/plan.ts';
import { formatRollout, formatRolloutHosts, noHostsWords, type RolledOut } from '../view/rollout.ts';
import {
  commitPrefixArgument,
  labelArgument,
  REASON,
  ringArgument,
  seenArgument,
  seenPauseArgument,
  UNTIL_WORDS,
  untilArgument,
  type Until,
} from './arguments.ts';

const COMMIT = ['--commit <sha>', 'only if hosts still follow this commit, at least 7 digits of it', commitPrefixArgument] as const;

interface Asked {
  readonly reason: string;
  readonly commit?: string;
}

/** How the newest commit reaches the fleet, and what people ask of it. */
export function addRollout(program: Command, cli: Cli): void {
  const rollout = program.command('rollout').description('how the newest commit reaches the fleet, ring by ring; pause, approve and abort it');

  rollout
    .command('status', { isDefault: true })
    .description('the rings of the rollout that hosts follow, what each waits for, and what you can do')
    .option('--watch', 'show each change, until the rollout is over')
    .option('--exit-code', `end with ${EXIT_CODES.needsAttention} when it needs a person`)
    .addHelpText(
      'after',
      `
VERIFIED hosts run it, with a verdict. UNDER WAY are those that change or are about to. WAITING is for their ring's turn, their policy,
their user or a restart: floe rollout hosts says who, and for what. FAILED counts failures that somebody acknowledged, too. Only hosts that
the commit changes are counted.

Examples:
  $ floe rollout
  $ floe rollout status --watch
  $ floe rollout status --exit-code || mail -s "the rollout needs you" admin@example.org
  $ floe rollout status --json | jq -r '.rollout.rings[] | [.name, .counts.verified, .counts.eligible] | @tsv'`,
    )
    .action((options: { watch?: true; exitCode?: true }) => showRollout(cli, options.watch === true, options.exitCode === true));

  rollout
    .command('hosts')
    .description('who in the rings is verified, under way, waiting (and for what), failed or away')
    .option('--ring <name>', 'only of this ring', ringArgument)
    .addHelpText(
      'after',
      `
The same hosts as floe rollout counts, one a line. TO COME: its ring, or its turn in it, has not begun. WAITING: it has the system, and its
policy, its user or a restart decides. At the end of each ring are those that are still built, and those that the rollout does not ask, and why:
kept by a person or by their user, on a trial, or not enrolled. More about one of them: floe why HOST.

Examples:
  $ floe rollout hosts
  $ floe rollout hosts --ring canary
  $ floe rollout hosts --json | jq -r '.hosts[] | select(.countedAs == "waiting" or .countedAs == "toCome") | [.host, .text] | @tsv'`,
    )
    .action(async ({ ring }: { ring?: v.InferOutput<typeof RingName> }) => {
      const query = ring === undefined ? '' : `?ring=${encodeURIComponent(ring)}`;
      const api = await cli.api();
      const { rollout: followed } = await readRollout(api);
      const rings = followed.rings.map(({ name }) => name);
      if (ring !== undefined && !rings.includes(ring))
        throw new FloeError('NOT_FOUND', `there is no ring ${ring}: the policy has ${rings.join(', ')}`);
      const { hosts, sha } = await api.get(`/api/rollout/hosts${query}`, RolloutHostsView);
      if (cli.options().json === true) cli.out.json({ sha, hosts });
      else if (hosts.length > 0) cli.out.print(formatRolloutHosts(hosts, followed, viewOf(cli)));
      else cli.out.note(noHostsWords(ring, followed));
    });

  rollout
    .command('plan')
    .description('who gets the commit when, and under which gates, before it goes on')
    .argument('[commit]', 'the commit that hosts follow (the default), or one whose rollout has not begun', commitPrefixArgument)
    .addHelpText(
      'after',
      `
The times are the earliest there can be: if hosts verify, and people approve, at once. Of a ring after a pause that a person ends, or of a
commit that waits for the rollout before it, no time is known. Hosts whose label a person paused are named by themselves, with what ends that.

Of a commit that is not published yet, it says what is known by now: its rings when its policy and its hosts were read, each host when that is
evaluated, the times as if its hosts were built at once. A commit that Floe has not taken in has no plan, nor has one that was refused.

Examples:
  $ floe rollout plan
  $ floe rollout plan 3f9c2ab
  $ floe rollout plan --json | jq -r '.rings[] | [.name, .eligible, .beginsAt] | @tsv'`,
    )
    .action(async (commit: string | undefined) => {
      const query = commit === undefined ? '' : `?commit=${commit}`;
      const plan = await (await cli.api()).get(`/api/rollout/plan${query}`, RolloutPlanView);
      if (cli.options().json === true) cli.out.json(plan);
      else cli.out.print(formatPlan(plan, viewOf(cli)));
    });

  rollout
    .command('approve')
    .description('let a ring begin that waits for approval')
    .requiredOption(...REASON)
    .option('--ring <name>', 'the ring; by default the one that waits', ringArgument)
    .option('--seen <id>', 'what floe rollout showed: refused once there is something else to approve', seenArgument)
    .option(...COMMIT)
    .addHelpText(
      'after',
      `
An approval is for one ring of one commit. It counts by person: several tokens of yours count once (see: floe token set --help). An
administrator can make more tokens and people, so several approvals protect against mistakes, not against an administrator.

It is for the commit's policy and for the system of each host, as they are when the server gets it. A host that is added later, or whose
system becomes another, needs it again. With --seen, which floe rollout shows, it is for nothing but what you looked at.

Examples:
  $ floe rollout approve --reason "tried it on my machine"
  $ floe rollout approve --seen=q3Vv0a8Kx_2e --reason "read the whole difference"`,
    )
    .action(async ({ ring, seen, ...asked }: Asked & { ring?: v.InferOutput<typeof RingName>; seen?: v.InferOutput<typeof SeenId> }) => {
      await decide(cli, 'approve', asked, ({ sha, rollout: { rings } }) => ({
        commit: sha,
        ring: ring ?? rings.find(({ state }) => state === 'current')?.name ?? rings.at(-1)?.name ?? '',
        ...(seen === undefined ? {} : { seen }),
      }));
    });

  rollout
    .command('pause')
    .description('pause all rollouts, also those of commits to come; or only the hosts of one label')
    .requiredOption(...REASON)
    .option('--label <label>', 'only hosts with this label; others go on', labelArgument)
    .option('--until <when>', UNTIL_WORDS, untilArgument)
    .addHelpText(
      'after',
      `
No host begins any more; those that have begun finish. It lasts until its end, or until: floe rollout resume --reason "…".
Pins still count.

With --label the hosts that have that label begin nothing, also those that get it later; the rings go on without them. When that is
resumed, they get what their ring has passed by then.

Examples:
  $ floe rollout pause --reason "holidays" --until 2027-01-04T08:00
  $ floe rollout pause --reason "the network is being moved" --until 4h
  $ floe rollout pause --label role=dns --reason "the resolvers are moved"`,
    )
    .action(async ({ until, label, ...asked }: Asked & { until?: Until; label?: string }) => {
      const at = until?.(cli.deps.clock.now());
      const body = { reason: asked.reason, ...(at === undefined ? {} : { until: at }), ...(label === undefined ? {} : { label }) };
      say(cli, await (await cli.api()).post('/api/rollout/pause', body, RolloutAnswer));
    });

  rollout
    .command('resume')
    .description("end a person's pause, or let a rollout go on that paused by itself")
    .requiredOption(...REASON)
    .option('--label <label>', 'end the pause of the hosts with this label, and no other', labelArgument)
    .option('--seen <id>', 'what floe rollout showed: refused once it is paused for something else', seenPauseArgument)
    .addHelpText(
      'after',
      `
Of a rollout that paused for failures, it acknowledges those: they count in no gate any more, and only other failures pause it again.
Where a person's pause stands, too, it ends only that: say it again for the failures. It ends no pause of a label without --label.
With --seen, which floe rollout shows, it ends no other pause than the one that you looked at.

Examples:
  $ floe rollout resume --reason "the printer of ada was broken before"
  $ floe rollout resume --label role=dns --reason "the resolvers are there"`,
    )
    .action(async ({ label, seen: pause, ...asked }: Asked & { label?: string; seen?: number }) => {
      const api = await cli.api();
      const seen = (await readRolloutIfAny(api))?.rollout;
      const now = label === undefined ? (seen?.freeze?.at ?? seen?.pause?.since) : seen?.stops.find((each) => each.label === label)?.at;
      const since = pause ?? now;
      const about = { ...(label === undefined ? {} : { label }), ...(since === undefined ? {} : { since }) };
      say(cli, await api.post('/api/rollout/resume', { reason: asked.reason, ...about }, RolloutAnswer));
    });

  rollout
    .command('abort')
    .description('end the rollout of the commit permanently')
    .argument('[commit]', 'the same as --commit', commitPrefixArgument)
    .requiredOption(...REASON)
    .option(...COMMIT)
    .option('--revert', 'bring the hosts back that were told this commit')
    .addHelpText(
      'after',
      `
Hosts that run it keep it, and no other host gets it. That is final for this commit; the next one is rolled out as usual.

With --revert the hosts that were told this commit go back to what the last complete rollout gave them: at once, over windows, within
the limits of the policy, and those that are away when they return. A paused fleet waits for its resume. It can be asked after an abort, too.
A host that no complete rollout ever reached keeps what it has, and is named: for it, revert the commit and push.

Examples:
  $ floe rollout abort 3f9c2ab --reason "it breaks the VPN"
  $ floe rollout abort 3f9c2ab --revert --reason "it breaks the VPN"`,
    )
    .action(async (named: string | undefined, { revert, ...asked }: Asked & { revert?: true }) => {
      const commit = named ?? asked.commit;
      const about = { reason: asked.reason, ...(commit === undefined ? {} : { commit }) };
      await decide(cli, 'abort', about, ({ sha }) => (revert === true ? { commit: sha, revert } : { commit: sha }));
    });

  rollout
    .command('hotfix')
    .description('pass over soaks and windows: the fix of something urgent')
    .argument('[commit]', 'the same as --commit', commitPrefixArgument)
    .requiredOption(...REASON)
    .option(...COMMIT)
    .option('--now', 'do not wait for verified hosts of the first ring either')
    .addHelpText(
      'after',
      `
Only of this commit. Approvals, gates, limits and pauses hold as before. Without a commit it is the one that hosts follow. A newer one
that waits for it, named, begins at once. If the named one waits for an older one's build, that build ends; when yours is published, ask
again.

With --now each ring but the last begins the next one at once, before anybody has verified the commit. Too many failures pause it as
before. Where the policy has approvals, that counts only when a second administrator, another person, asks for the same.

Examples:
  $ floe rollout hotfix --reason "closes the hole in sshd"
  $ floe rollout hotfix 3f9c2ab --now --reason "the hole in sshd is used"`,
    )
    .action(async (named: string | undefined, { now, ...asked }: Asked & { now?: true }) => {
      const commit = named ?? asked.commit;
      // The server knows whether it waits for the one that hosts follow.
      const sha = commit === undefined ? undefined : (await (await cli.api()).get(`/api/revisions/${commit}`, RevisionView)).sha;
      await decide(cli, 'hotfix', { reason: asked.reason }, (seen) => ({ commit: sha ?? seen.sha, ...(now === true ? { now } : {}) }));
    });

  rollout
    .command('break-glass')
    .description("let one commit pass below the policy floor of the server's settings")
    .argument('[commit]', 'the newest one; at least 7 digits of it', commitPrefixArgument)
    .requiredOption(...REASON)
    .addHelpText(
      'after',
      `
For administrators. Where there is another one, a second person has to ask for the same. The gates of the commit's own policy hold.

Example:
  $ floe rollout break-glass 3f9c2ab --reason "the check of the floor cannot build today"`,
    )
    .action(async (named: string | undefined, { reason }: Asked) => {
      const api = await cli.api();
      const [newest] = named === undefined ? await api.get('/api/revisions?limit=1', v.array(RevisionView)) : [];
      const { sha } = newest ?? (await api.get(`/api/revisions/${named ?? ''}`, RevisionView));
      say(cli, await api.post('/api/rollout/break-glass', { commit: sha, reason }, RolloutAnswer));
    });
}

async function readRollout(api: ApiClient): Promise<RolledOut> {
  const revision = await api.get('/api/rollout', RevisionView);
  const { rollout } = revision;
  if (rollout === null) throw new FloeError('NOT_FOUND', `${shortSha(revision.sha)} is evaluated again: its rollout goes on after that`);
  return { ...revision, rollout };
}

/** Undefined: nothing was rolled out yet. What comes can be paused by then. */
async function readRolloutIfAny(api: ApiClient): Promise<RolledOut | undefined> {
  return await readRollout(api).catch((error: unknown) => {
    if (isFloeError(error) && error.data['serverCode'] === 'NO_ROLLOUT') return undefined;
    throw error;
  });
}

async function decide(cli: Cli, what: string, { reason, commit }: Asked, bodyOf: (seen: RolledOut) => object): Promise<void> {
  const api = await cli.api();
  const seen = await readRollout(api);
  if (commit !== undefined && !seen.sha.startsWith(commit))
    throw new FloeError(
      'REFUSED',
      `hosts do not follow ${shortSha(commit)}, but ${shortSha(seen.sha)}. If ${shortSha(commit)} is newer, ask again when floe revisions shows it published; meanwhile floe rollout pause holds it, too`,
    );
  say(cli, await api.post(`/api/rollout/${what}`, { reason, ...bodyOf(seen) }, RolloutAnswer));
}

function say(cli: Cli, answer: RolloutAnswer): void {
  if (cli.options().json === true) cli.out.json(answer);
  else cli.out.print(answer.message.slice(0, 1).toUpperCase() + answer.message.slice(1));
}

async function showRollout(cli: Cli, isWatching: boolean, hasExitCode: boolean): Promise<void> {
  const { deps, out } = cli;
  const api = await cli.api();
  const { role } = await api.get('/api/session', ActorView);
  let shown = '';

  /** True when it is over. */
  async function show(): Promise<boolean> {
    const seen = await readRollout(api);
    const { rollout } = seen;
    if (hasExitCode) cli.exitCode = todoOfRollout(seen.sha, rollout) === null ? EXIT_CODES.ok : EXIT_CODES.needsAttention;
    // What time alone changes ("3 min ago") is no news.
    const text = JSON.stringify([seen.sha, rollout]);
    if (text !== shown) {
      if (cli.options().json === true) out.json(seen, isWatching);
      else out.print(`${shown === '' ? '' : '\n'}${formatRollout(seen, role, viewOf(cli))}`);
    }
    shown = text;
    return isEndedRollout(rollout.state);
  }

  if ((await show()) || !isWatching) return;
  const messages = followFleet({
    ...deps,
    api,
    onLost: (reason, retryInMs) => out.note(`${reason}; trying again in ${duration(retryInMs)}`),
  });
  for await (const { type } of messages) {
    if (type !== 'snapshot' && type !== 'revision') continue;
    try {
      if (await show()) return;
    } catch (error) {
      // The next connection brings a snapshot.
      if (!isFloeError(error) || !error.retryable) throw error;
    }
  }
}
