import { isEndedRevision, isLeftOut, type EvaluationOutcome, type RevisionState, type StatusText } from '@floe/model';
import { hosts, listNames, progressOf } from './hosts-in-words.ts';
import { olderWords } from './next-words.ts';
import { utcTime } from './text.ts';

/** What the descriptions of a revision are made from. */
export interface RevisionFacts {
  readonly revision: {
    readonly state: RevisionState;
    readonly error?: string | undefined;
    readonly glassAt?: number | undefined;
    /** Its systems were submitted: nothing is evaluated or built here. */
    readonly handoverId?: string | undefined;
    /** The commit with the same source whose results it took over. */
    readonly sameSourceAs?: string | undefined;
  };
  readonly evaluations: readonly {
    readonly host: string;
    readonly outcome: EvaluationOutcome;
    readonly error?: string | undefined;
    /** Of a host that was evaluated for this commit. */
    readonly evaluateMs?: number | undefined;
    /** Set once the host is built. */
    readonly builtAt?: number | undefined;
  }[];
  /** The host whose build has run for long, and the longest. */
  readonly longest?: string | undefined;
  /** The older commit that is finished before it. */
  readonly waits?: { readonly after: string; readonly until: number } | undefined;
  /** The newer commit, if there is one. */
  readonly supersededBy?: string | undefined;
}

/** How far the evaluation of a revision's hosts is, or what it came to. */
export function describeEvaluation(facts: RevisionFacts): StatusText {
  const { revision, evaluations } = facts;
  switch (revision.state) {
    case 'RECEIVED':
    case 'VERIFYING':
      return text('pending', facts.waits === undefined ? 'received, about to be evaluated' : `received; ${olderWords(facts.waits, utcTime)}`);
    case 'EVALUATING':
      // Why it is being tried again, e.g. an input that is waited for.
      return text('pending', revision.error ?? evaluating(evaluations));
    case 'REJECTED':
      return text('failure', `not accepted: ${revision.error ?? 'no reason was recorded'}`);
    case 'EVAL_FAILED':
      return text('failure', revision.error ?? 'no host could be evaluated');
    case 'SUPERSEDED':
      if (countOf(evaluations, 'NOT_EVALUATED') > 0) return partlyEvaluated(facts);
      return evaluations.length === 0 ? superseded('not evaluated', facts) : evaluated(facts);
    case 'BUILDING':
    case 'PUBLISHED':
    case 'BUILD_FAILED':
      if (countOf(evaluations, 'NOT_EVALUATED') > 0 && revision.handoverId === undefined) return withGlass(partlyEvaluated(facts), facts);
      return withGlass(evaluated(facts), facts);
  }
}

function countOf(evaluations: RevisionFacts['evaluations'], ...outcomes: readonly EvaluationOutcome[]): number {
  return evaluations.filter((each) => outcomes.includes(each.outcome)).length;
}

function evaluating(evaluations: RevisionFacts['evaluations']): string {
  const left = countOf(evaluations, 'NOT_EVALUATED');
  const all = evaluations.length - countOf(evaluations, 'REMOVED');
  return left === 0 ? 'evaluating the hosts' : `${progressOf(all - left, all)} evaluated`;
}

/** Of hosts that were not evaluated before a newer commit came, nothing is known: that is no failure of this one. */
function partlyEvaluated(facts: RevisionFacts): StatusText {
  const { revision, evaluations } = facts;
  const said = evaluating(evaluations);
  if (revision.state === 'BUILD_FAILED') return text('error', said);
  return isEndedRevision(revision.state) ? superseded(said, facts) : text('pending', said);
}

/** Whoever looks at the commit sees that it did not keep the floor. */
function withGlass({ state, description, ...rest }: StatusText, { revision: { glassAt } }: RevisionFacts): StatusText {
  return { state, description: glassAt === undefined ? description : `below the policy floor, by an administrator: ${description}`, ...rest };
}

function evaluated({ revision, evaluations }: RevisionFacts): StatusText {
  const present = evaluations.filter((each) => !isLeftOut(each.outcome));
  const broken = present.filter((each) => each.outcome === 'EVAL_ERROR');
  // What is wrong with other hosts since an earlier commit is none of this one.
  const isSubmitted = revision.handoverId !== undefined;
  if (broken.length > 0 && !isSubmitted) return text('failure', brokenHosts(broken, present.length, 'evaluate'));
  const count = (...outcomes: readonly EvaluationOutcome[]): number => countOf(evaluations, ...outcomes);
  // A host that was evaluated and then did not build had changed: an unchanged one is not built.
  const parts: readonly (readonly [number, string])[] = [
    [count('CHANGED', 'BUILD_ERROR'), 'changed'],
    [count('NEW'), 'new'],
    [count('UNCHANGED'), 'unchanged'],
    [count('REMOVED'), 'removed'],
    [count('NOT_BUILT_HERE'), 'not built here'],
    [count('NOT_OURS'), "not Floe's"],
  ];
  const told = parts.filter(([number]) => number > 0).map(([number, word]) => `${number} ${word}`);
  return text('success', [isSubmitted ? 'submitted' : whatWasEvaluated(revision, present), told.join(', ')].filter((part) => part !== '').join(': '));
}

/** "20 hosts evaluated"; "the same source as 3f9c2ab, nothing evaluated" */
function whatWasEvaluated({ sameSourceAs }: RevisionFacts['revision'], present: RevisionFacts['evaluations']): string {
  if (sameSourceAs === undefined) return `${hosts(present.length)} evaluated`;
  const own = present.filter(({ evaluateMs }) => evaluateMs !== undefined).length;
  return `the same source as ${sameSourceAs.slice(0, 7)}, ${own === 0 ? 'nothing' : hosts(own)} evaluated`;
}

/** How far building and publishing a revision's hosts is, or what it came to. */
export function describeBuild(facts: RevisionFacts): StatusText {
  const { revision, evaluations } = facts;
  const isSubmitted = revision.handoverId !== undefined;
  const broken = isSubmitted ? [] : evaluations.filter((each) => each.outcome === 'BUILD_ERROR');
  const wanted = [...evaluations.filter((each) => each.outcome === 'CHANGED' || each.outcome === 'NEW'), ...broken];
  if (broken.length > 0 && isEndedRevision(revision.state)) return text('failure', brokenHosts(broken, wanted.length, 'build'));
  switch (revision.state) {
    case 'RECEIVED':
    case 'VERIFYING':
    case 'EVALUATING':
      return text('pending', 'waiting for the evaluation');
    case 'BUILDING':
      return text('pending', building(wanted, broken.length, countOf(evaluations, 'NOT_EVALUATED'), facts.longest));
    case 'PUBLISHED':
      return text(
        'success',
        publishedWords(
          wanted.length,
          isSubmitted,
          evaluations.filter((each) => each.outcome === 'NOT_BUILT_HERE'),
        ),
      );
    case 'BUILD_FAILED':
      return text('failure', revision.error ?? 'nothing could be built');
    case 'REJECTED':
      return text('error', 'nothing to build: the commit was refused');
    case 'EVAL_FAILED':
      return text('error', 'nothing to build: the evaluation failed');
    case 'SUPERSEDED':
      return superseded('not built', facts);
  }
}

/** For a commit that was rolled out, was evaluated again, and came to an end without another rollout. */
export function describeNoRollout(facts: RevisionFacts): StatusText {
  switch (facts.revision.state) {
    case 'SUPERSEDED':
      return superseded('not rolled out', facts);
    case 'BUILD_FAILED':
      return text('error', 'not rolled out: the build failed');
    case 'REJECTED':
      return text('error', 'not rolled out: the commit was refused');
    default:
      return text('error', 'not rolled out: the evaluation failed');
  }
}

function publishedWords(count: number, isSubmitted: boolean, elsewhere: RevisionFacts['evaluations']): string {
  const built = count === 0 ? undefined : isSubmitted ? `${hosts(count)} built elsewhere, and published` : `${hosts(count)} built and published`;
  if (elsewhere.length === 0) return built ?? 'nothing to build: no host changed';
  const [first] = elsewhere;
  const reason = elsewhere.length === 1 && first?.error !== undefined ? `: it ${first.error}` : '';
  const left = `${hosts(elsewhere.length)} not built here (${listNames(elsewhere.map((each) => each.host))})${reason}`;
  return built === undefined ? left : `${built}, ${left}`;
}

function building(wanted: RevisionFacts['evaluations'], brokenCount: number, unknown: number, longest: string | undefined): string {
  if (wanted.length === 0) return unknown > 0 ? 'waiting for the evaluation' : 'nothing to build, about to be published';
  const doneCount = wanted.filter((each) => each.builtAt !== undefined && each.outcome !== 'BUILD_ERROR').length;
  return `${progressOf(doneCount, wanted.length)} built${brokenCount === 0 ? '' : `, ${brokenCount} failed`}${longest === undefined ? '' : `, ${longest} still builds`}`;
}

function brokenHosts(broken: RevisionFacts['evaluations'], total: number, verb: 'evaluate' | 'build'): string {
  const names = listNames(broken.map((each) => each.host));
  const [first] = broken;
  const reason = broken.length === 1 && first?.error !== undefined ? `: ${first.error}` : '';
  return `${broken.length} of ${hosts(total)} ${broken.length === 1 ? 'does' : 'do'} not ${verb}: ${names}${reason}`;
}

/** `error`, not `success`: nobody saw this commit work. */
function superseded(what: string, { supersededBy }: RevisionFacts): StatusText {
  return text('error', `${what}: superseded by ${supersededBy === undefined ? 'a newer commit' : supersededBy.slice(0, 7)}`);
}

function text(state: StatusText['state'], description: string): StatusText {
  return { state, description };
}
