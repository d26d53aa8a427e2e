import { isSequenceFarAhead } from '@floe/model';
import type { PipelineDeps } from './deps.ts';
import { signedOf } from './signed-of.ts';

export type SequenceDeps = Pick<PipelineDeps, 'store' | 'releaseSigner' | 'newestReleased'>;

/** Of a revision, or of what was submitted. */
interface Numbered {
  readonly repositoryId: string;
  readonly sequence: number;
}

/**
 * Notes it in the statement log, before anything is done with it: an older backup of the database does not give it again. Nothing that is refused is
 * noted, or no backup would help any more. Resolves to why nothing of it may be signed.
 */
export async function noteSequence(deps: SequenceDeps & Pick<PipelineDeps, 'statements'>, numbered: Numbered): Promise<string | undefined> {
  const why = await farAhead(deps, numbered);
  if (why === undefined) await deps.statements.noteSequence(numbered.sequence);
  return why;
}

/** Why nothing with this sequence may be signed. Hosts take nothing below one that they had: one near the end of all numbers would be the last one. */
export async function farAhead(deps: SequenceDeps, { repositoryId, sequence }: Numbered): Promise<string | undefined> {
  const logged = await deps.newestReleased?.();
  if (logged === undefined || !isSequenceFarAhead(sequence, logged.sequence)) return undefined;
  // Another builder may have gone on with this key. Its log is elsewhere, and the database has what it signed.
  const newest = Math.max(logged.sequence, await newestSigned(deps, { repositoryId, sequence }));
  if (!isSequenceFarAhead(sequence, newest)) return undefined;
  return `its sequence, ${sequence}, is far above ${newest}, the newest that was signed: somebody changed the database, restore it from a backup`;
}

/** Of the releases from which the sequence would not be far ahead, by what this key signed, and not by what the database says of it; 0: none. */
async function newestSigned(deps: SequenceDeps, { repositoryId, sequence }: Numbered): Promise<number> {
  const latest = await deps.store.releases.latest(repositoryId);
  return latest
    .filter((release) => !isSequenceFarAhead(sequence, release.sequence))
    .map(({ envelope }) => signedOf(deps, envelope))
    .reduce((highest, signed) => Math.max(highest, signed?.purpose === undefined ? (signed?.sequence ?? 0) : 0), 0);
}
