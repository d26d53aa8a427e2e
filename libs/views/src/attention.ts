import { needsAction } from '@floe/model';
import type { FleetView, HostView, RepositoryView, RevisionView, RolloutView } from '@floe/protocol';
import type { Decision } from './decisions.ts';
import { listNames } from './hosts-in-words.ts';
import { presenceName } from './presence.ts';
import { countsInWords, needsAttention, reasonOf, standingWords } from './standing.ts';
import { revisionDecisions } from './rollout-decisions.ts';
import { failureWords, hasFailed, revisionWords } from './revision-words.ts';
import { rolloutStateWords, todoOfRollout, waitsForPeople } from './rollout-words.ts';
import { count, shortSha } from './text.ts';
import { actionsToTake, todoOf, todoOfHeld } from './todo.ts';

/** What the verdict and the list behind it are made from. */
export type WatchedFleet = Pick<FleetView, 'repository' | 'revision'> & { readonly hosts: Iterable<HostView> };

/** Something that does not get better by itself. */
export interface Attention {
  readonly kind: 'server' | 'repository' | 'revision' | 'rollout' | 'host';
  /** A host's name, or "server", "repository", "revision" or "rollout". */
  readonly subject: string;
  /** In a few words: "commit 3f9c2ab1d0 is held"; of a host without its name: "rolled back". */
  readonly words: string;
  readonly message: string;
  /** By which docs/incidents.md and docs/operate.md name it. */
  readonly code?: string;
  /** What an administrator does about it. Null where nothing but the message can say it. */
  readonly todo: string | null;
  /** The part of that which is decided here. */
  readonly decisions: readonly Decision[];
  readonly since: number | null;
}

/** All that needs a person, the most far-reaching first; the same list for the page, `floe status` and its exit status. */
export function attentionOf(fleet: WatchedFleet): readonly Attention[] {
  const hosts = [...fleet.hosts].filter(needsAttention);
  const { repository, revision } = fleet;
  return [
    ...repository.notices.map(({ code, message, since }): Attention => ({
      kind: 'server',
      subject: 'server',
      words: 'the server has a problem',
      message,
      code,
      todo: null,
      decisions: [],
      since,
    })),
    ...attentionOfRepository(repository),
    ...(revision === null ? [] : attentionOfRevision(revision, hosts, repository)),
    ...(repository.followed === null ? [] : attentionOfRollout(repository.followed.sha, repository.followed.rollout)),
    ...hosts.map(needOf),
  ];
}

function attentionOfRepository(repository: RepositoryView): readonly Attention[] {
  const { problem, held } = repository;
  const about = { kind: 'repository', subject: 'repository', decisions: [] } as const;
  const found: Attention[] = [];
  if (problem !== null) {
    const { code, message, since } = problem;
    found.push({ ...about, words: 'the repository has a problem', message, code, todo: null, since });
  }
  if (held !== null) {
    const what = `commit ${shortSha(held.commit)} is held`;
    found.push({
      ...about,
      words: what,
      message: `${what}: ${held.reason}`,
      todo: todoOfHeld(repository),
      decisions: [{ kind: 'accept', commit: held.commit, seen: held.seen }],
      since: held.since,
    });
  }
  return found;
}

function attentionOfRevision(revision: RevisionView, hosts: readonly HostView[], { held }: RepositoryView): readonly Attention[] {
  const { error, sha, receivedAt } = revision;
  const isFailed = hasFailed(revision);
  const found: Attention[] = [];
  const commit = `commit ${shortSha(sha)}`;
  const todo = `push a fix; see: floe revisions ${shortSha(sha)}`;
  // That it is held is said of the repository, once.
  if ((isFailed || error !== null) && held?.commit !== sha) {
    const glass = revisionDecisions(revision, true).filter(({ kind }) => kind === 'break-glass');
    const what = isFailed ? `${commit} ${revisionWords(revision)}` : `${commit} has a problem`;
    found.push({ kind: 'revision', subject: 'revision', words: what, message: error ?? what, todo, decisions: glass, since: receivedAt });
  }
  // An attribute whose name is not a valid host name is not in the list of hosts: it is reported here.
  const listed = new Set<string>(hosts.map((host) => host.host));
  for (const host of revision.hosts) {
    if (host.error === null || host.outcome === 'NOT_BUILT_HERE' || listed.has(host.host)) continue;
    const what = failureWords(host.outcome);
    found.push({ kind: 'host', subject: host.host, words: what, message: `${what}: ${host.error}`, todo, decisions: [], since: receivedAt });
  }
  return revision.rollout === null ? found : [...found, ...attentionOfRollout(sha, revision.rollout)];
}

function attentionOfRollout(sha: string, rollout: RolloutView): readonly Attention[] {
  if (rollout.state !== 'PAUSED' && !waitsForPeople(rollout)) return [];
  return [
    {
      kind: 'rollout',
      subject: 'rollout',
      words: `the rollout of commit ${shortSha(sha)} ${rolloutStateWords(rollout.state)}`,
      message: rollout.description,
      todo: todoOfRollout(sha, rollout),
      decisions: [],
      since: rollout.pause?.since ?? rollout.startedAt,
    },
  ];
}

/** What needs a person about one host. */
export function attentionOfHost(host: HostView): readonly Attention[] {
  return needsAttention(host) ? [needOf(host)] : [];
}

function needOf(host: HostView): Attention {
  const code = codeOf(host);
  return {
    kind: 'host',
    subject: host.host,
    words: problemWords(host),
    message: reasonOf(host) ?? host.detail?.message ?? standingWords(host),
    ...(code === undefined ? {} : { code }),
    todo: todoOf(host),
    decisions: actionsToTake(host).map((kind) => ({ kind, host: host.host })),
    since: sinceOf(host),
  };
}

/** Of what its agent failed with, where that is its problem, else of what the server has against it. */
function codeOf({ standing, detail, trouble }: Pick<HostView, 'standing' | 'detail' | 'trouble'>): string | undefined {
  return (standing === 'rolled-back' || standing === 'failed' ? detail?.code : undefined) ?? (needsAction(standing) ? undefined : trouble?.code);
}

/** What calls a person to the host, in a few words behind its name: "rolled back". */
function problemWords(host: Pick<HostView, 'standing' | 'state' | 'trouble'>): string {
  if (needsAction(host.standing)) return standingWords(host);
  return host.trouble === null ? presenceName('lost') : 'has a problem';
}

function sinceOf(host: HostView): number | null {
  if (host.standing === 'behind' || host.standing === 'removed') return null;
  if (needsAction(host.standing)) return host.stateSince;
  return host.trouble === null ? host.lastSeenAt : host.trouble.since;
}

/** The heading over the list, on the page and in `floe status`. */
export const NEEDS_YOU = 'What needs you';

/** Several with one and the same trouble, to be said once. */
export interface SharedAttention extends Attention {
  readonly subjects: readonly string[];
}

/** Hosts with one and the same trouble, to be said once: the names of an item and its words. */
export function sameAttention(attention: readonly Attention[]): readonly SharedAttention[] {
  // What names the host in its command is the same but for the name.
  return grouped(attention, ({ kind, subject, message, todo }) => `${kind}\n${message}\n${todo?.replaceAll(` ${subject}`, ' HOST') ?? ''}`);
}

function grouped(attention: readonly Attention[], keyOf: (item: Attention) => string): readonly SharedAttention[] {
  return [...Map.groupBy(attention, keyOf).values()].flatMap((items) => {
    const [item] = items;
    if (item === undefined) return [];
    const subjects = items.map(({ subject }) => subject);
    const todo = subjects.length === 1 ? item.todo : (item.todo?.replaceAll(` ${item.subject}`, ' HOST') ?? null);
    return [{ ...item, todo, subjects }];
  });
}

/** The whole fleet in one line. */
export interface Verdict {
  readonly isFine: boolean;
  /** A few words: "2 need you"; for the title of the page. */
  readonly short: string;
  /** "2 need you: ws2 rolled back; commit 3f9c2ab1d0 is held" */
  readonly text: string;
}

/** More groups than this are counted. */
const MAX_GROUPS = 5;

/** The first line of `floe status`, and the line on top of the page. */
export function verdictOf(fleet: WatchedFleet, attention: readonly Attention[] = attentionOf(fleet)): Verdict {
  if (attention.length === 0) return { isFine: true, ...calmVerdict([...fleet.hosts]) };
  const short = `${attention.length.toLocaleString('en')} ${attention.length === 1 ? 'needs' : 'need'} you`;
  const groups = grouped(attention, (item) => `${item.kind === 'host'} ${item.words}`);
  const told = groups.slice(0, MAX_GROUPS).map(({ kind, subjects, words: what }) => (kind === 'host' ? `${listNames(subjects)} ${what}` : what));
  const rest = groups.slice(MAX_GROUPS).reduce((sum, { subjects }) => sum + subjects.length, 0);
  return { isFine: false, short, text: `${short}: ${[...told, ...(rest === 0 ? [] : [`${rest} more`])].join('; ')}` };
}

/** Nobody is needed; "fine" is only said of what was seen to run what it should. */
function calmVerdict(hosts: readonly HostView[]): Pick<Verdict, 'short' | 'text'> {
  if (hosts.length === 0) return same('No hosts yet');
  const ours = hosts.filter(({ standing }) => standing !== 'not-ours');
  if (ours.length > 0 && ours.every(({ standing }) => standing === 'in-sync'))
    return same(ours.length === 1 ? 'The only host is fine' : `All ${count(ours.length, 'host')} are fine`);
  return { short: 'Nothing needs you', text: `Nothing needs you: ${countsInWords(hosts)}` };
}

function same(text: string): Pick<Verdict, 'short' | 'text'> {
  return { short: text, text };
}
