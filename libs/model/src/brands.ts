declare const brand: unique symbol;
/** A string of a checked form. Only the schema of the same name in libs/protocol makes one. */
export type Brand<Name extends string> = string & { readonly [brand]: Name };

/** A machine's name as in `nixosConfigurations.<host>`. */
export type HostName = Brand<'HostName'>;
/** A full commit id: 40 lower-case hex digits. */
export type CommitSha = Brand<'CommitSha'>;
/** `/nix/store/<hash>-<name>`, with nothing after the name. */
export type StorePath = Brand<'StorePath'>;

/**
 * The form of a {@link HostName}: a DNS name, e.g. `web.example.org`. Its labels are 1 to 63 letters, digits, - or _, and begin
 * and end with a letter or digit. It is also safe as a file name: no `/`, and never `.` or `..`.
 */
export const HOST_NAME_FORM = /^(?=.{1,253}$)[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*$/;
export const MAX_HOST_NAME_CHARACTERS = 253;
/** The same as a sentence for error messages. */
export const HOST_NAME_RULE =
  'a host name is labels of 1 to 63 letters, digits, - or _ with dots between them; each begins and ends with a letter or digit';
/** The form of a {@link CommitSha}. */
export const COMMIT_SHA_FORM = /^[0-9a-f]{40}$/;
/** The form of a {@link StorePath}. */
export const STORE_PATH_FORM = /^\/nix\/store\/[0-9a-z]{32}-[0-9A-Za-z+\-._?=]+$/;
/** The hash in a store path: the 32 characters before its name. */
export function storeHash(path: string): string {
  return path.slice('/nix/store/'.length, '/nix/store/'.length + 32);
}
/** Nix limits the name to 211 characters (libstore/path.hh, `MaxPathLen`). */
export const MAX_STORE_PATH_CHARACTERS = '/nix/store/'.length + 32 + 1 + 211;
