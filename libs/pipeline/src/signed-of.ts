import { open, ReleaseStatement, storedEnvelope } from '@floe/protocol';
import { verifySignature } from '@floe/runtime';
import type { PipelineDeps } from './deps.ts';

/** What this key signed of an envelope from the database: whoever can write there gets nothing signed by what stands there. */
export function signedOf({ releaseSigner }: Pick<PipelineDeps, 'releaseSigner'>, envelope: string): ReleaseStatement | undefined {
  const stored = storedEnvelope(envelope);
  const opened = stored && open(stored, 'floe/release', ReleaseStatement, [releaseSigner], verifySignature);
  return opened?.kind === 'opened' ? opened.statement : undefined;
}
