/**
 * Who signs commits, as the files of allowed signers name them: a principal of OpenSSH's `allowed_signers`, or the fingerprint of an OpenPGP
 * key, in capitals.
 */
const PRINCIPAL_FORM = /^[^\s,"\p{C}]+$/u;
const FINGERPRINT_FORM = /^(?:[0-9A-F]{40}|[0-9A-F]{64})$/;
export const MAX_SIGNER_CHARACTERS = 256;
export const SIGNER_RULE =
  'a signer is a name of the file of allowed SSH signers (up to 256 characters without spaces, commas or quotes), or the fingerprint of an OpenPGP key';

/** As it is stored and compared; undefined: it is none. People write fingerprints with spaces, too. */
export function signerName(text: string | null | undefined): string | undefined {
  if (text === null || text === undefined || text.length > MAX_SIGNER_CHARACTERS) return undefined;
  const fingerprint = text.replaceAll(' ', '').toUpperCase();
  if (FINGERPRINT_FORM.test(fingerprint)) return fingerprint;
  return PRINCIPAL_FORM.test(text) && text.isWellFormed() ? text : undefined;
}
