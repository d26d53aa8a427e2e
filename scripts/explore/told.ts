import {
  isRingPromoted,
  isStopped,
  isSuperseded,
  isTakenBack,
  isWithdrawn,
  resolve,
  revertOf,
  type CommitSha,
  type Desired,
  type HostSituation,
  type OrderedQuarantine,
  type PermitGrounds,
  type StorePath,
  type ToldBefore,
} from '@floe/model';
import { ordersOf, releaseOf, ringOf, SAID, stoneOf, stopsOf } from './facts.ts';
import { NOW, type Revision, type Scene } from './scene.ts';
import { revisionOf, systemOf, type Host, type Row, type State } from './state.ts';

// What a host is told: the real resolve(), and what a pass of the server writes and sends.

const PERMITS: Readonly<Record<'revert' | 'pin', PermitGrounds>> = {
  revert: { kind: 'revert', by: 'ada', reason: 'it is bad' },
  pin: { kind: 'pin', by: 'ada', reason: 'it is bad' },
};

export function situationOf(state: State, host: Host, scene: Scene): HostSituation {
  const { row } = host;
  const { trial } = row;
  return {
    trial: trial?.isEnded === false ? { ...releaseOf(host, trial.revision, scene), endsAt: NOW + 1 } : undefined,
    pin: row.pinned === undefined ? undefined : { ...releaseOf(host, row.pinned, scene), ...(isBelow(row, row.pinned) && { permit: PERMITS.pin }) },
    hold: row.held === undefined ? undefined : releaseOf(host, row.held, scene),
    isRingPromoted: state.course !== undefined && isRingPromoted(state.course, ringOf(state, host, scene)),
    rollout: state.course && releaseOf(host, state.newest, scene),
    stable: releaseOf(host, row.stable, scene),
    revert: state.course && revertOf({ course: state.course, orders: ordersOf(state) }),
    directed:
      row.directed === undefined
        ? undefined
        : { ...releaseOf(host, row.directed, scene), permit: row.permitted === undefined ? undefined : PERMITS[row.permitted] },
    floor: row.told + 1,
    quarantined: new Set(row.quarantined),
    ordered: new Map(row.ordered.map((system) => [system, orderOf(system)])),
    stops: stopsOf(state, host, scene),
    stone: stoneOf(host, scene),
  };
}

/** An administrator lets it go there. */
function isBelow({ told, directed }: Row, revision: Revision): boolean {
  return revision < told && revision !== directed;
}

function orderOf(system: StorePath): OrderedQuarantine {
  const revision = revisionOf(system);
  return { ...SAID, commit: `${revision}`.repeat(40) as CommitSha, sequence: revision + 1, isOfAll: false };
}

export function desiredOf(state: State, host: Host, scene: Scene): Desired {
  return resolve(situationOf(state, host, scene));
}

/**
 * Stores what the host should run, with a new epoch if that changed, and tells it, once for each epoch and connection. A trial is told beside
 * what is stored.
 */
export function steer(state: State, host: Host, scene: Scene): Host {
  const situation = situationOf(state, host, scene);
  const wanted = resolve(situation);
  const isBack = isTakenBack(toldTo(host), wanted);
  if (wanted.kind !== 'release' && !isBack) return host;
  const desired = isBack ? ({ kind: 'release', release: wanted.release, because: 'kept' } as const) : wanted;
  let { row, session, down } = host;
  const revision = desired.release.sequence - 1;
  const isTrial = desired.because === 'trial';
  const isPermitted = desired.permit !== undefined;
  const isOnlyStaged = isBack || isWithdrawnNow(state, host, desired, situation);
  if (!isTrial && (revision !== row.directed || isOnlyStaged !== row.isOnlyStaged || (isPermitted && row.permitted === undefined))) {
    const told = Math.max(row.told, revision);
    row = { ...row, directed: revision, permitted: desired.permit?.kind, isOnlyStaged, told, epoch: row.epoch + 1 };
  }
  if (session !== undefined && session.offered !== row.epoch) {
    const { epoch, told } = row;
    const isRetry = row.isRetry && !isTrial;
    const floor = isPermitted && !isTrial ? told + 1 : undefined;
    down = [...down, { type: 'directive', epoch, revision, isRetry, isTrial, isOnlyStaged: isOnlyStaged && !isTrial, floor }];
    session = { offered: epoch };
  }
  return row === host.row && session === host.session ? host : { ...host, row, session, down };
}

function toldTo({ name, row }: Host): ToldBefore {
  const { state, subject } = row.seen;
  return { toplevel: row.directed === undefined ? undefined : systemOf(name, row.directed), isStaged: row.isOnlyStaged, state, subject };
}

function isWithdrawnNow(
  { course, ...state }: State,
  host: Host,
  { release, because }: Pick<Extract<Desired, { kind: 'release' }>, 'release' | 'because'>,
  situation: HostSituation,
): boolean {
  if (course === undefined) return false;
  const { name, row } = host;
  const { toplevel } = release;
  const isStaged = row.isOnlyStaged && row.directed === release.sequence - 1;
  const to = { host: name, toplevel, because, state: row.seen.state, subject: row.seen.subject, isStaged, isLabelStopped: isStopped(situation) };
  return isWithdrawn({ ...to, isSuperseded: isSuperseded(situation, release) }, { course, orders: ordersOf({ course, ...state }) }, NOW);
}

/** An administrator has a host try again what it rolled back. */
export function retry(host: Host, system: StorePath): Host {
  const { row } = host;
  return { ...host, row: { ...row, quarantined: row.quarantined.filter((each) => each !== system), isRetry: true, epoch: row.epoch + 1 } };
}

/** A person has it try that revision, also another one than it tries already. */
export function beginTrial(host: Host, revision: Revision): Host {
  const epoch = host.row.epoch + 1;
  return { ...host, row: { ...host.row, trial: { revision, epoch, isEnded: false }, epoch } };
}

/** The host gets what the fleet has under a new epoch. Its place stays: it may be changing now. */
export function endTrial(host: Host): Host {
  const { row } = host;
  return row.trial?.isEnded === false ? { ...host, row: { ...row, trial: { ...row.trial, isEnded: true }, epoch: row.epoch + 1 } } : host;
}
