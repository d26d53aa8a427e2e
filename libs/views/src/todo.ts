import { needsAction, type HostAction, type HostStanding } from '@floe/model';
import type { HostView, RepositoryView } from '@floe/protocol';
import { acceptCommand } from './seen.ts';

const FIX = { long: 'push a fix', short: 'push a fix' };
/** What is done in the repository about a host, where that helps. */
const IN_THE_REPOSITORY: Readonly<Partial<Record<HostStanding, { readonly long: string; readonly short: string }>>> = {
  'rolled-back': FIX,
  failed: FIX,
  behind: FIX,
  'not-built': { long: 'add a remote builder to the server', short: 'add a builder' },
  removed: { long: 'add it to the flake again', short: 'add again' },
};
/** Of a host that was revoked: either way is right, and only an administrator knows which. */
const REMOVE = 'remove it from the flake if it does not come back';
/** Of a lost one nobody but a person can find out. */
const LOOK = { long: 'find out where it is', short: 'find it' };
/** A machine joins, or comes back, by an enrolment. */
const ENROLLABLE: ReadonlySet<HostStanding> = new Set(['not-enrolled', 'revoked', 'cloned']);

/**
 * What an administrator does about a host, with the commands: "push a fix, or run: floe retry ws2 --reason "…"". Null: nothing is
 * to be done.
 */
export function todoOf(view: Pick<HostView, 'host' | 'standing' | 'actions' | 'trouble' | 'presence' | 'stone' | 'renameTo'>): string | null {
  const { host, standing, actions, presence, renameTo } = view;
  if (renameTo !== undefined) return `run: ${renameCommand(host, renameTo)}`;
  if (isBroken(view)) return FIX.long;
  if (isHeldByStone(view)) return `run: ${commandOf('retry', host)}, or pin it to a newer commit, or take ${view.stone} out of steppingStones`;
  const commands = [
    ...(ENROLLABLE.has(standing) || isRefused(view) ? [`floe enrol ${host}`] : []),
    ...actionsToTake(view).map((action) => commandOf(action, host)),
  ];
  const isGone = standing === 'revoked' && !actions.includes('forget');
  const look = presence === 'lost' ? LOOK.long : undefined;
  const ways = [
    isGone ? REMOVE : IN_THE_REPOSITORY[standing]?.long,
    look,
    commands.length === 0 ? undefined : `${isRefused(view) ? 'if it is the right machine, ' : ''}run: ${commands.join(', or: ')}`,
  ].filter((way) => way !== undefined);
  return ways.length === 0 ? null : ways.join(', or ');
}

/** Its configuration does not evaluate or build, though no machine waits for it. */
function isBroken({ standing, trouble }: Pick<HostView, 'standing' | 'trouble'>): boolean {
  return !needsAction(standing) && (trouble?.code === 'EVAL_ERROR' || trouble?.code === 'BUILD_ERROR');
}

/** An agent with another key asks to be it. */
function isRefused({ trouble }: Pick<HostView, 'trouble'>): boolean {
  return trouble?.code === 'HOST_KEY_UNKNOWN' || trouble?.code === 'HOST_NOT_ENROLLED';
}

/** It rolled back a stepping stone: whatever is pushed does not reach it. */
function isHeldByStone({ standing, actions, stone }: Pick<HostView, 'standing' | 'actions' | 'stone'>): boolean {
  return stone !== null && IN_THE_REPOSITORY[standing] === FIX && actions.includes('retry');
}

/** The decisions that mend what is wrong; a host that is well can be revoked, or take its update earlier, too. */
export function actionsToTake({ standing, actions, presence }: Pick<HostView, 'standing' | 'actions' | 'presence'>): readonly HostAction[] {
  return actions.filter((action) => action !== 'deploy' && (action !== 'revoke' || standing === 'removed' || presence === 'lost'));
}

/** The command line that gives a machine the name that it has in the flake. */
export function renameCommand(host: string, to: string): string {
  return `floe rename ${host} ${to} --reason "…"`;
}

/** The command line of a decision about a host. */
export function commandOf(action: HostAction, host: string): string {
  return `floe ${action} ${host} --reason "…"`;
}

/** What an administrator does about a commit that is held. */
export function todoOfHeld({ held, acceptedCommit }: Pick<RepositoryView, 'held' | 'acceptedCommit'>): string | null {
  if (held === null) return null;
  // One with far fewer hosts was taken in; a rewritten branch is not.
  const push = held.commit === acceptedCommit ? 'push a commit that has the hosts again' : 'push a commit that follows the accepted one';
  return `${push}, or run: ${acceptCommand(held)}`;
}

/** The same in a word or two, for a table: "push a fix, retry". */
export function shortTodoOf(view: Pick<HostView, 'standing' | 'actions' | 'trouble' | 'presence' | 'stone' | 'renameTo'>): string {
  const { standing, presence } = view;
  if (view.renameTo !== undefined) return 'rename';
  if (isBroken(view)) return FIX.short;
  if (isHeldByStone(view)) return 'retry, pin';
  const look = presence === 'lost' ? LOOK.short : [];
  return [IN_THE_REPOSITORY[standing]?.short ?? [], look, ENROLLABLE.has(standing) || isRefused(view) ? 'enrol' : [], ...actionsToTake(view)]
    .flat()
    .join(', ');
}
