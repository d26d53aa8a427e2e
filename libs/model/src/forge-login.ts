/**
 * A login at a forge. GitHub, GitLab and Forgejo take upper and lower case for the same, so all is lower case here. Apps of GitHub have
 * `[bot]` at the end.
 */
export const FORGE_LOGIN_FORM = /^[a-z0-9](?:[a-z0-9._-]{0,98}[a-z0-9_-])?(?:\[bot\])?$/;
export const MAX_FORGE_LOGIN_CHARACTERS = 105;
export const FORGE_LOGIN_RULE = 'a login at a forge is up to 100 letters, digits, dots, - or _, and may end with [bot]';

/** As it is stored and compared; undefined: no forge has such a login. */
export function forgeLogin(text: string | null | undefined): string | undefined {
  const login = text?.toLowerCase();
  // Only ASCII changes its case the same everywhere.
  return login !== undefined && FORGE_LOGIN_FORM.test(login) && /^[\x21-\x7E]+$/.test(text ?? '') ? login : undefined;
}
