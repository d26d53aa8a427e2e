import type { Exec } from '@floe/runtime';

/** Who may sign commits, by the server's settings. At least one is given. */
export interface SignerFiles {
  /** A file as OpenSSH has it for `allowed_signers` (ssh-keygen(1)). */
  readonly sshFile?: string | undefined;
  /** A file with OpenPGP public keys, as `gpg --export` writes them, armored or not. */
  readonly openPgpFile?: string | undefined;
  /** The PATH in which ssh-keygen and gpg are. */
  readonly path: string | undefined;
}

export interface AllowedSigners extends SignerFiles {
  /** Starts ssh-keygen and gpg. */
  readonly exec: Exec;
}

/** `who`: the name in the file of SSH signers, or the fingerprint of the OpenPGP key. */
export type Verdict = { readonly kind: 'signed'; readonly who: string } | { readonly kind: 'refused'; readonly why: string };

export interface VerdictDeps {
  readonly exec: Exec;
  readonly path: string | undefined;
  /** A folder that only this check uses. */
  readonly dir: string;
}
