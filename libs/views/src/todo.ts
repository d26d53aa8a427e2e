import type { HostAction, HostStanding } from '@floe/model';
import type { HostView, RepositoryView } from '@floe/protocol';

const FIX = { long: 'push a fix', short: 'push a fix' };
/** What is done in the repository about a host, where that helps. */
const IN_THE_REPOSITORY: Readonly<Partial<Record<HostStanding, { readonly long: string; readonly short: string }>>> = {
  'rolled-back': FIX,
  failed: FIX,
  behind: FIX,
  removed: { long: 'add it to the flake again', short: 'add again' },
};
/** A machine joins, or comes back, by an enrolment. */
const ENROLLABLE: ReadonlySet<HostStanding> = new Set(['not-enrolled', 'revoked', 'cloned']);

/**
 * What an administrator does about a host, with the commands: "push a fix, or run: floe retry ws2 --reason "…"". Null: nothing is
 * to be done.
 */
export function todoOf({ host, standing, actions }: Pick<HostView, 'host' | 'standing' | 'actions'>): string | null {
  const commands = [
    ...(ENROLLABLE.has(standing) ? [`floe enrol ${host}`] : []),
    ...actionsToTake({ standing, actions }).map((action) => commandOf(action, host)),
  ];
  const ways = [IN_THE_REPOSITORY[standing]?.long, commands.length === 0 ? undefined : `run: ${commands.join(', or: ')}`].filter(
    (way) => way !== undefined,
  );
  return ways.length === 0 ? null : ways.join(', or ');
}

/** The decisions that mend what is wrong; a host that is well can be revoked, too. */
export function actionsToTake({ standing, actions }: Pick<HostView, 'standing' | 'actions'>): readonly HostAction[] {
  return actions.filter((action) => action !== 'revoke' || standing === 'removed');
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
  return `${push}, or run: floe accept ${held.commit} --reason "…"`;
}

/** The same in a word or two, for a table: "push a fix, retry". */
export function shortTodoOf({ standing, actions }: Pick<HostView, 'standing' | 'actions'>): string {
  return [IN_THE_REPOSITORY[standing]?.short ?? [], ENROLLABLE.has(standing) ? 'enrol' : [], ...actionsToTake({ standing, actions })]
    .flat()
    .join(', ');
}
