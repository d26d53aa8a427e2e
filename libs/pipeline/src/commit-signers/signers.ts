import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SignedParts } from '@floe/git';
import { openPgpVerdict } from './openpgp.ts';
import { sshVerdict } from './ssh.ts';
import type { AllowedSigners, Verdict } from './types.ts';

/** Larger than any commit that a person makes, so that no check takes long. */
const MAX_PAYLOAD_BYTES = 1024 ** 2;
const MAX_SIGNATURE_CHARACTERS = 64 * 1024;

/**
 * Runs `check` with a function that says whether somebody allowed signed a commit. It asks ssh-keygen and gpg, in a folder of their own, so
 * that no settings or keys of a user or the machine count. A key counts while it is valid by the clock of this machine: dates in a commit are
 * what its author likes. Throws retryable errors where a program or a file of keys cannot be used: nothing passes unchecked.
 */
export async function checkingSigners<Result>(
  { sshFile, openPgpFile, ...programs }: AllowedSigners,
  check: (verdictOf: (commit: SignedParts) => Promise<Verdict>) => Promise<Result>,
): Promise<Result> {
  const dir = await mkdtemp(join(tmpdir(), 'floe-signers-'));
  const openPgp = openPgpFile === undefined ? undefined : openPgpVerdict({ ...programs, dir }, openPgpFile);
  try {
    return await check(async ({ payload, signature }) => {
      if (signature === undefined) return { kind: 'refused', why: 'it has no signature' };
      if (payload.length > MAX_PAYLOAD_BYTES || signature.length > MAX_SIGNATURE_CHARACTERS)
        return { kind: 'refused', why: 'it is too large for its signature to be checked' };
      if (signature.startsWith('-----BEGIN SSH SIGNATURE-----'))
        return sshFile === undefined
          ? { kind: 'refused', why: 'it is signed with an SSH key, and only OpenPGP keys are allowed' }
          : await sshVerdict({ ...programs, dir }, sshFile, 'git', { payload, signature });
      if (signature.startsWith('-----BEGIN PGP SIGNATURE-----'))
        return openPgp === undefined
          ? { kind: 'refused', why: 'it is signed with an OpenPGP key, and only SSH keys are allowed' }
          : await openPgp({ payload, signature });
      return { kind: 'refused', why: 'its signature is neither of SSH nor of OpenPGP' };
    });
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
