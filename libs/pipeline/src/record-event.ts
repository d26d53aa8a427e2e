import type { RevisionEvent } from '@floe/model';
import type { Revision } from '@floe/store';
import type { PipelineDeps } from './deps.ts';

/** Moves the revision on. False: it is in a state without a cell for the event, e.g. because a newer commit superseded it. */
export async function recordEvent(
  { store, clock, logger }: Pick<PipelineDeps, 'store' | 'clock' | 'logger'>,
  revision: Revision,
  event: RevisionEvent,
  error?: string,
): Promise<boolean> {
  const result = await store.revisions.advance(revision.id, event, clock.now(), error);
  if (result.kind === 'stale') logger.info('a step found the revision in another state', { revision: revision.sha, state: result.state, event });
  else logger.info('revision', { commit: revision.sha, state: result.state, ...(error === undefined ? {} : { error }) });
  return result.kind === 'advanced';
}
