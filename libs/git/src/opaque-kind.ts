import type { OpaqueKind } from './mirror-types.ts';

const LFS_FORMS = ['version https://git-lfs.github.com/spec/v1\n', 'version https://hawser.github.com/spec/v1\n'];
const LFS_MAX_BYTES = 1024;
const GIT_CRYPT = '\0GITCRYPT\0';
/** The first bytes of files encrypted by age, OpenSSL and GnuPG. */
const ENCRYPTED_FORMS = ['age-encryption.org/v1', '-----BEGIN AGE ENCRYPTED FILE-----', 'U2FsdGVkX1', 'Salted__', '-----BEGIN PGP MESSAGE-----'];

/** Recognises content that does not match the file's name. */
export function opaqueKind(size: number, beginning: Buffer): { readonly kind: OpaqueKind; readonly needsFilter: boolean } | undefined {
  const text = beginning.toString('latin1');
  if (text.startsWith(GIT_CRYPT)) return { kind: 'git-crypt', needsFilter: false };
  if (size <= LFS_MAX_BYTES && LFS_FORMS.some((form) => text.startsWith(form))) return { kind: 'lfs', needsFilter: false };
  return ENCRYPTED_FORMS.some((form) => text.startsWith(form)) ? { kind: 'encrypted', needsFilter: true } : undefined;
}
