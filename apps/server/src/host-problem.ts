import { hasArrived, needsAction, standingOf, standingOfMachine, type Desired, type HostFacts, type HostStanding } from '@floe/model';
import type { Evaluation, HostRow, Quarantine } from '@floe/store';
import { failureWords } from '@floe/views';

/** The facts from which {@link problemOf} finds what is wrong. */
export interface HostProblem {
  readonly row: HostRow;
  readonly facts: HostFacts;
  /** Of the host at the revision whose offer is in the facts. */
  readonly evaluation: Pick<Evaluation, 'outcome' | 'error' | 'formerHost'> | undefined;
  readonly quarantines: readonly Quarantine[];
  /** What its machine is called in the flake now, where it was removed. */
  readonly renameTo?: string | undefined;
}

/** What is wrong with a host, one line for each trouble; null when nothing is. Pure. */
export function problemOf(problem: HostProblem): string | null {
  const { row, facts } = problem;
  const standing = standingOf(facts);
  const machine = standingOfMachine(facts);
  const isEnrolled = facts.enrolment !== 'none' && facts.enrolment !== 'revoked';
  const reasons = [reasonOf(standing, problem)];
  // A host has one standing, and can have more than one trouble: none of them hides another.
  if (standing === 'cloned') reasons.push(reasonOf(standingOf({ ...facts, enrolment: 'enrolled' }), problem));
  if (isEnrolled && machine !== standing && needsAction(machine)) reasons.push(reasonOf(machine, problem));
  if (standing === 'under-way') reasons.push(obstacleOf(row, facts));
  if (!isArrived(facts) && isTooOldToGoBack(row, facts.desired)) reasons.push(TOO_OLD);
  if (isEnrolled && !isArrived(facts) && isTooOldForItsName(problem)) reasons.push(TOO_OLD_FOR_ITS_NAME);
  const told = [...new Set(reasons.filter((reason) => reason !== null))];
  return told.length === 0 ? null : told.join('\n');
}

function reasonOf(standing: HostStanding, { row, facts, evaluation, quarantines, renameTo }: HostProblem): string | null {
  const toplevel = facts.desired.kind === 'nothing' ? undefined : facts.desired.release.toplevel;
  // What the agent said of another system is not about this one.
  const isAboutIt = row.stateToplevel === toplevel || row.stateToplevel === undefined;
  switch (standing) {
    case 'rolled-back': {
      const quarantine = quarantines.find((each) => each.toplevel === toplevel);
      const said = isAboutIt && row.state === 'ROLLED_BACK' ? row.detail?.message : undefined;
      const why = said ?? quarantine?.reason ?? 'no reason was reported';
      return `rolled back: ${why}`;
    }
    case 'failed':
      return row.detail?.message ?? 'failed without a reason';
    case 'drifted':
      return 'runs something else than it was told, though nothing is under way';
    case 'cloned':
      return 'its key was used by two machines';
    case 'revoked':
      return 'its enrolment was revoked';
    case 'removed':
      if (renameTo !== undefined) return `is called ${renameTo} in the flake now: it keeps its last release, and is not asked, until it is renamed`;
      return 'is not in the flake any more: it keeps its last release and gets no newer one';
    case 'not-built':
      return `is not built here: it ${evaluation?.error ?? 'needs another machine'}`;
    case 'behind': {
      if (facts.offer.kind === 'none' && facts.offer.because === 'revision') return 'keeps what it has: the newest commit failed as a whole';
      return failureOf(evaluation);
    }
    case 'in-sync':
    case 'under-way':
    case 'waiting':
    case 'queued':
    case 'kept-back':
    case 'local-override':
    case 'pinned':
    case 'trial':
    case 'away':
    case 'not-enrolled':
    case 'not-ours':
    case 'no-release':
      return null;
  }
}

/** Why the newest commit has nothing for the host. */
export function failureOf(evaluation: HostProblem['evaluation']): string {
  return `${failureWords(evaluation?.outcome)}: ${evaluation?.error ?? 'Floe tries again'}`;
}

const TOO_OLD = 'its agent is too old to go back to an older release: push a commit that reverts, or update the agent first';

/** It is to go below what it was told before, and its agent does not know permits: it is not told. */
export function isTooOldToGoBack({ capabilities }: Pick<HostRow, 'capabilities'>, desired: Desired): boolean {
  return desired.kind === 'release' && desired.permit !== undefined && capabilities !== undefined && !capabilities.includes('permit');
}

const TOO_OLD_FOR_ITS_NAME =
  'its agent is too old for a configuration with services.floe.agent.formerHost, and is told nothing of it: start a newer generation, or remove the option';

/** What it is to run names the machine's earlier name, and its agent does not know that: it is not told. */
function isTooOldForItsName({ row: { capabilities }, facts: { desired }, evaluation }: HostProblem): boolean {
  return desired.kind === 'release' && evaluation?.formerHost !== undefined && capabilities?.includes('rename') === false;
}

function isArrived(facts: HostFacts): boolean {
  return facts.desired.kind === 'release' && hasArrived(facts, facts.desired.release.toplevel);
}

/** Something is in the way of a host that is under way, and it tries again by itself. What it said before a retry is not about this. */
function obstacleOf(row: HostRow, { desired, isRetryPending }: HostFacts): string | null {
  const toplevel = desired.kind === 'nothing' ? undefined : desired.release.toplevel;
  return !isRetryPending && row.stateToplevel === toplevel ? (row.detail?.message ?? null) : null;
}
