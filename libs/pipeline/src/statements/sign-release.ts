import { open, ReleaseStatement, sealAsync } from '@floe/protocol';
import { verifySignature, type AsyncSigner } from '@floe/runtime';
import type { PlainStore } from '@floe/store';
import type { LoggedRelease, StatementLog } from './statement-log.ts';

export interface SignReleaseDeps {
  readonly store: Pick<PlainStore, 'confirmLease'>;
  readonly statements: StatementLog;
  readonly releaseSigner: AsyncSigner;
}

/**
 * The signed release in the statement log: the one that this key signed before for the host, the sequence and the system, so that a step that is
 * repeated signs nothing again, or a new one. A builder that lost its lease while it signed writes nothing.
 */
export async function signRelease({ store, statements, releaseSigner }: SignReleaseDeps, statement: ReleaseStatement): Promise<LoggedRelease> {
  const logged = await statements.readRelease(statement);
  const known = logged && open(logged.envelope, 'floe/release', ReleaseStatement, [releaseSigner], verifySignature);
  if (logged !== undefined && known?.kind === 'opened' && isSame(known.statement, statement))
    return { envelope: logged.envelope, statement: known.statement };
  const envelope = await sealAsync(releaseSigner, 'floe/release', statement);
  // Between this and the file it may still be stopped. Such a file is not handed out (R32).
  await store.confirmLease();
  await statements.writeRelease(envelope, statement);
  return { envelope, statement };
}

/** But for its times. A file may have the name of another release. */
function isSame(one: ReleaseStatement, other: ReleaseStatement): boolean {
  return (['repository', 'ref', 'host', 'sequence', 'commit', 'toplevel', 'narHash', 'purpose', 'formerHost'] as const).every(
    (key) => one[key] === other[key],
  );
}
