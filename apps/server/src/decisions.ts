import {
  hasArrived,
  HOST_ACTIONS,
  isActivating,
  isPastGo,
  isTerminalAgentState,
  standingOfMachine,
  type Desired,
  type HostAction,
  type HostName,
  type OrderedQuarantine,
  type ReleaseRef,
  type StorePath,
} from '@floe/model';
import { lastWordOf, type HostRow } from '@floe/store';
import { liftCommand, shortSha } from '@floe/views';

/** What an administrator's word about a host comes to. */
export type Decision =
  /** The host is to try `toplevel` again. */
  | { readonly kind: 'retry'; readonly toplevel: StorePath }
  /** There is nothing to decide: the host is as `message` says, and stays so. */
  | { readonly kind: 'nothing'; readonly code: string; readonly message: string };

/** Why nothing can be ordered of a host: no machine is there that would follow it. Every order asks this first. Pure. */
export function refusalToOrder({ host, publicKey, revokedAt, clonedAt }: HostRow): Extract<Decision, { kind: 'nothing' }> | undefined {
  if (revokedAt !== undefined) return nothing('HOST_REVOKED', `the enrolment of ${host} was revoked: to bring it back, run: floe enrol ${host}`);
  if (publicKey === undefined) return nothing('HOST_NOT_ENROLLED', `no agent is enrolled for ${host}: run: floe enrol ${host}`);
  if (clonedAt !== undefined)
    return nothing(
      'HOST_CLONED',
      `two machines used the key of ${host}, and both are refused: make sure that only the right one has it, then run: floe retry ${host} --reason "…"`,
    );
  return undefined;
}

/** A person said that a system does not run on the host: what that is, and how it ends. */
export function orderedWords(host: HostName, order: OrderedQuarantine): string {
  return `${order.by} quarantined the system of ${shortSha(order.commit)} on ${order.isOfAll ? 'all hosts' : host} (${order.reason}): to lift that, run: ${liftCommand(host, order)}`;
}

/** What `desired` is about, for a host that can be told anything. */
function steerable(row: HostRow, desired: Desired): Decision {
  const { host } = row;
  const refusal = refusalToOrder(row);
  if (refusal !== undefined) return refusal;
  if (desired.kind === 'nothing') return nothing('NO_RELEASE', `${host} has no release yet: it gets one with the first commit that builds it`);
  if (desired.kind === 'release' && desired.because === 'trial')
    return nothing('ON_TRIAL', `${host} tries another system: to end that, run: floe try ${host} --end --reason "…"`);
  if (desired.kind === 'quarantined' && desired.order !== undefined) return nothing('QUARANTINED', orderedWords(host, desired.order));
  return { kind: 'retry', toplevel: desired.release.toplevel };
}

/** It had its `go`, was lost, and is back, in a pause: it asks again, and gets no other `go` before somebody has it try again. */
function isBackInPause(row: HostRow, desired: Desired, now: number): boolean {
  const { state, stateToplevel, isConnected, went } = row;
  if (desired.kind !== 'release' || desired.because !== 'kept' || !isConnected) return false;
  const { toplevel } = desired.release;
  return isPastGo(went, toplevel, now) && !hasArrived(lastWordOf(row), toplevel) && !(stateToplevel === toplevel && isActivating(state));
}

/** `floe retry`: once more what the host rolled back, refused, could not do, or was lost with. Pure. */
export function judgeRetry(row: HostRow, desired: Desired, now: number): Decision {
  const decision = steerable(row, desired);
  if (decision.kind === 'nothing' || desired.kind === 'quarantined') return decision;
  const { host } = row;
  const said = lastWordOf(row);
  const isAboutIt = said.subject === decision.toplevel;
  if (said.isRetryPending) return nothing('ALREADY_TOLD', `${host} was already told to try again, and has not answered yet`);
  const { state } = said;
  if (isAboutIt && (state === 'ROLLED_BACK' || state === 'ROLLBACK_FAILED' || state === 'REJECTED' || state === 'BLOCKED')) return decision;
  if (isBackInPause(row, desired, now)) return decision;
  return nothing('NOTHING_TO_RETRY', `there is nothing to try again: ${describe(row, desired)}`);
}

/** `floe deploy`: what it was told, at once. Whether its ring and limits allow it is judged elsewhere. Pure. */
export function judgeDeploy(
  row: HostRow,
  desired: Desired,
): { readonly kind: 'deploy'; readonly release: ReleaseRef } | Extract<Decision, { kind: 'nothing' }> {
  const decision = steerable(row, desired);
  if (decision.kind === 'nothing') return decision;
  if (desired.kind !== 'release')
    return nothing('QUARANTINED', `${row.host} rolled that system back: push a fix, or run: floe retry ${row.host} --reason "…"`);
  if (desired.because === 'trial') return nothing('ON_TRIAL', `${row.host} tries a commit just now: it takes what it should run when that ends`);
  const said = lastWordOf(row);
  const isAboutIt = said.subject === decision.toplevel;
  if (hasArrived(said, decision.toplevel)) return nothing('NOTHING_TO_DEPLOY', `${row.host} runs what it should already`);
  if (isAboutIt && isActivating(said.state)) return nothing('UNDER_WAY', `${row.host} changes to it just now`);
  const isOver = isAboutIt && (isTerminalAgentState(said.state) || said.state === 'BLOCKED') && !said.isRetryPending;
  if (said.isOverridden || isOver) return nothing('NOTHING_TO_DEPLOY', `there is nothing to ask for: ${describe(row, desired)}`);
  return { kind: 'deploy', release: desired.release };
}

/** `floe resume`: back to what the fleet wants, over the head of whoever chose another system at the machine. Pure. */
export function judgeResume(row: HostRow, desired: Desired): Decision {
  const decision = steerable(row, desired);
  if (decision.kind === 'nothing') return decision;
  const { host } = row;
  const said = lastWordOf(row);
  if (said.isRetryPending) return nothing('ALREADY_TOLD', `${host} was already told to resume, and has not answered yet`);
  if (hasArrived(said, decision.toplevel)) return nothing('NOTHING_TO_RESUME', `there is nothing to resume: ${describe(row, desired)}`);
  const isDrifted = said.state === 'SUCCEEDED' && said.subject === decision.toplevel;
  if (said.isOverridden || isDrifted) return decision;
  return nothing('NOTHING_TO_RESUME', `there is nothing to resume: ${describe(row, desired)}`);
}

/**
 * `floe forget`: a host that is gone permanently. Undefined: it is to be forgotten. `isInFlake`: the newest revision has it.
 */
export function refusalToForget(row: HostRow, isInFlake: boolean): Extract<Decision, { kind: 'nothing' }> | undefined {
  const { host } = row;
  if (isInFlake) return nothing('HOST_IN_FLAKE', `${host} is in the flake: remove it there first, or it would be back with the next commit`);
  if (row.publicKey !== undefined && row.revokedAt === undefined)
    return nothing('HOST_ENROLLED', `${host} is enrolled: first run: floe revoke ${host} --reason "…"`);
  return undefined;
}

/** What an administrator can decide about a host now: what the routes of decisions and enrolment would not refuse. Pure. */
export function actionsOn(row: HostRow, desired: Desired, isInFlake: boolean, now: number): HostAction[] {
  const isEnrolled = row.publicKey !== undefined && row.revokedAt === undefined;
  const isPossible: Readonly<Record<HostAction, boolean>> = {
    retry: (isEnrolled && row.clonedAt !== undefined) || judgeRetry(row, desired, now).kind === 'retry',
    resume: judgeResume(row, desired).kind === 'retry',
    deploy: desired.kind === 'release' && desired.because !== 'kept' && judgeDeploy(row, desired).kind === 'deploy',
    revoke: isEnrolled,
    forget: refusalToForget(row, isInFlake) === undefined,
  };
  return HOST_ACTIONS.filter((action) => isPossible[action]);
}

/** It runs what it should, whatever that is. */
export function isInSync(row: HostRow, desired: Desired): boolean {
  return standingOfMachine({ ...lastWordOf(row), isConnected: row.isConnected, desired }) === 'in-sync';
}

/** The host as it is, for the sentence that refuses. */
function describe(row: HostRow, desired: Desired): string {
  const { host } = row;
  const why = row.detail === undefined ? '' : ` (${row.detail.message})`;
  switch (standingOfMachine({ ...lastWordOf(row), isConnected: row.isConnected, desired })) {
    case 'in-sync':
      return `${host} is in sync`;
    case 'local-override':
      return `${host} is kept by its user${why}; to end that, run: floe resume ${host} --reason "…"`;
    case 'drifted':
      return `${host} runs something else than it was told; to bring it back, run: floe resume ${host} --reason "…"`;
    case 'rolled-back':
    case 'failed':
      return `${host} rolled back, or could not take the new system${why}; to try again, run: floe retry ${host} --reason "…"`;
    case 'away':
      return `${host} is away; it continues when it is back`;
    case 'waiting':
      return `${host} waits${why}; it continues without a command`;
    case 'no-release':
      return `${host} has no release yet`;
    case 'under-way':
      return `${host} is under way`;
  }
}

function nothing(code: string, message: string): Extract<Decision, { kind: 'nothing' }> {
  return { kind: 'nothing', code, message };
}
