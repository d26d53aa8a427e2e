import { strictSsh, type SecretSource } from '@floe/runtime';

/** A key for git over SSH, and which hosts it is for. */
export interface SshAccess {
  /** A private key without a passphrase. */
  readonly key: SecretSource;
  /** Lines of a known_hosts file. */
  readonly knownHosts: readonly string[];
}

/** A line of known_hosts: names, or a hash of one, and a public key. */
export const KNOWN_HOST_FORM = /^(?:@cert-authority )?[\w.:,*?|[\]+/=!-]{1,1000} [\w@.-]{1,100} [\w+/]{1,4000}={0,2}(?: [ -~]{0,1000})?$/;

/** What is wrong with a private key, for people; undefined: nothing that can be seen. */
export function keyProblem(text: string): string | undefined {
  const [, body = ''] = /^-----BEGIN [A-Z ]{0,20}PRIVATE KEY-----\n([^-]{1,60000})\n-----END [A-Z ]{0,20}PRIVATE KEY-----$/.exec(text) ?? [];
  if (body === '') return 'holds no private SSH key';
  const isLocked = body.includes('ENCRYPTED') || !isOpenWithoutPassphrase(Buffer.from(body, 'base64'));
  return isLocked
    ? 'holds a key with a passphrase, which nobody could type: make one without, with the right to read what it is for, and nothing else'
    : undefined;
}

const MAGIC = 'openssh-key-v1\0';

/** OpenSSH's own format names the cipher first; the older ones say ENCRYPTED. */
function isOpenWithoutPassphrase(data: Buffer): boolean {
  if (!data.subarray(0, MAGIC.length).equals(Buffer.from(MAGIC))) return true;
  const length = data.length < MAGIC.length + 4 ? 0 : data.readUInt32BE(MAGIC.length);
  return data.subarray(MAGIC.length + 4, MAGIC.length + 4 + length).toString('latin1') === 'none';
}

const KEY = 'input-key';
const KNOWN_HOSTS = 'input-known-hosts';

/** The files in a command's home. */
export function sshFiles(key: string, { knownHosts }: SshAccess): Readonly<Record<string, string>> {
  return { [KEY]: `${key}\n`, [KNOWN_HOSTS]: `${knownHosts.join('\n')}\n` };
}

/** What git runs: with this key alone, to hosts that are known alone, and asking nobody. */
export function sshCommand(home: string): string {
  return ['ssh', ...strictSsh({ keyFile: `${home}/${KEY}`, knownHostsFile: `${home}/${KNOWN_HOSTS}` }).map(quoted)].join(' ');
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
