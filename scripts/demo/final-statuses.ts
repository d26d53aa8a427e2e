import { STATUS_CONTEXTS } from '@floe/model';
import type { RevisionView } from '@floe/protocol';
import { eventually, type PostedStatus, type TestFleet } from '@floe/testkit';

/** Limits the wait for a forge that never shows the final status. */
const TIMEOUT_MS = 30_000;

/** The statuses that the commit shows now. */
export function lastStatuses(fleet: TestFleet, { sha }: Pick<RevisionView, 'sha'>): readonly PostedStatus[] {
  return STATUS_CONTEXTS.map((context) => fleet.forge.statusOf(sha, context)).filter((status) => status !== undefined);
}

/** Waits until the commit shows the final statuses of an ended revision, and returns them. */
export async function finalStatuses(fleet: TestFleet, { sha }: RevisionView): Promise<readonly PostedStatus[]> {
  return await eventually(
    `the forge has the final statuses of ${sha.slice(0, 7)}`,
    async () => {
      const revision = await fleet.revision(sha);
      const statuses = lastStatuses(fleet, { sha });
      const told = statuses.at(-1);
      if (revision === undefined || told === undefined) return undefined;
      const isLast = revision.rollout === null ? revision.state !== 'PUBLISHED' : told.description === revision.rollout.description;
      return isLast && statuses.every(({ state }) => state !== 'pending') ? statuses : undefined;
    },
    { timeoutMs: TIMEOUT_MS },
  );
}

export function statusLine({ context, state, description }: Pick<PostedStatus, 'context' | 'state' | 'description'>): string {
  return `  on the commit: ${context.padEnd(13)} ${state.padEnd(8)} ${description}`;
}
