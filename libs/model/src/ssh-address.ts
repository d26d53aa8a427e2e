/** What `ssh` is asked for by the address of a repository. */
export interface SshAddress {
  /** Undefined: the name of the user whom the program runs as, as ssh has it. */
  readonly user: string | undefined;
  /** A name or an address; one of IPv6 without brackets. */
  readonly host: string;
  readonly port: number | undefined;
  /** As `git-upload-pack` there gets it: from the root, or from the home of the user. */
  readonly path: string;
}

// No character that a shell, ssh or git reads in another way, so that none has to be quoted, and nothing that ssh takes for an option.
const USER = String.raw`(?:(?<user>\w[\w.+-]{0,63})@)?`;
const HOST = String.raw`[A-Za-z0-9](?:[\w.-]{0,251}[A-Za-z0-9])?`;
// A ~ elsewhere than at its beginning would make git leave out what is before it.
const NAME = String.raw`(?!\.{1,2}(?:/|$))(?:~[\w.+=,@-]*|[\w.+=,@-]+)`;
const URL_FORM = new RegExp(
  String.raw`^ssh://${USER}(?:(?<host>${HOST})|\[(?<six>[0-9A-Fa-f:]{2,39})\])(?::(?<port>\d{1,5}))?(?<path>(?:/${NAME})+)$`,
);
const SHORT_FORM = new RegExp(String.raw`^${USER}(?<host>${HOST}):(?<path>/?(?!-)${NAME}(?:/${NAME})*)$`);

/** Reads `ssh://[user@]host[:port]/path` or `[user@]host:path` as git does. Undefined: it is neither, or has characters that no forge needs. */
export function parseSshAddress(text: string): SshAddress | undefined {
  const groups = (URL_FORM.exec(text) ?? SHORT_FORM.exec(text))?.groups;
  const host = groups?.['host'] ?? groups?.['six'];
  const path = groups?.['path'];
  const port = groups?.['port'] === undefined ? undefined : Number(groups['port']);
  if (host === undefined || path === undefined || (port !== undefined && (port < 1 || port > 65_535))) return undefined;
  // Git takes "/~ada/fleet" for a path from the home of ada.
  return { user: groups?.['user'], host, port, path: path.replace(/^\/~/, '~') };
}

/** What the addresses of one repository have in common, over SSH and over HTTPS: `host/path`. */
export function placeOfSsh({ host, path }: SshAddress): string {
  return `${host}/${path.replace(/^\//, '')}`;
}
