import { open } from 'node:fs/promises';
import { HostName, PublicKey, type TrustedKey } from '@floe/protocol';
import { FloeError } from '@floe/runtime';
import * as v from 'valibot';

const MAX_BYTES = 1024 * 1024;

/** The keys that an administrator trusts, from files of their own: never from what is checked. */
export interface PinnedKeys {
  readonly release: readonly TrustedKey[];
  readonly server: readonly TrustedKey[];
  /** Of hosts, where they are pinned, too: then no enrolment is believed for them. */
  readonly hosts: ReadonlyMap<HostName, ReadonlySet<string>>;
}

/** `public-keys.json` of a builder. */
const BuilderKeys = v.object({ releaseKeys: v.array(v.string()) });

/** Throws `FloeError('USAGE')` for what is no file of keys, and where there is no key of a release or of a server. */
export async function readPinnedKeys(paths: readonly string[]): Promise<PinnedKeys> {
  const release: TrustedKey[] = [];
  const server: TrustedKey[] = [];
  const hosts = new Map<HostName, Set<string>>();
  for (const path of paths) {
    for (const [role, text] of entriesOf(await readText(path), path)) {
      const at = text.lastIndexOf(':');
      const [keyId, publicKey] = [text.slice(0, at), text.slice(at + 1)];
      const isGood = at > 0 && v.is(PublicKey, publicKey) && /^[\w.-]{1,128}$/.test(keyId);
      if (isGood && role === 'release') release.push({ keyId, publicKey });
      else if (isGood && role === 'server') server.push({ keyId, publicKey });
      else if (isGood && role === 'host' && v.is(HostName, keyId)) {
        const host = v.parse(HostName, keyId);
        hosts.set(host, (hosts.get(host) ?? new Set()).add(publicKey));
      } else
        throw new FloeError(
          'USAGE',
          `${path}: "${`${role} ${text}`.trim()}" is no key: write "release NAME:KEY", "server NAME:KEY" or "host NAME:KEY" on each line`,
        );
    }
  }
  if (release.length === 0 || server.length === 0) {
    const missing = release.length === 0 ? 'release' : 'server';
    throw new FloeError(
      'USAGE',
      `no ${missing} key is given: name a file of your own with --key, with the keys that your hosts pin (see: floe verify --help)`,
    );
  }
  return { release, server, hosts };
}

function entriesOf(text: string, path: string): readonly (readonly [string, string])[] {
  if (text.trimStart().startsWith('{')) {
    const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), BuilderKeys), text);
    if (!parsed.success) throw new FloeError('USAGE', `${path} is no file of keys: ${v.summarize(parsed.issues)}`);
    return parsed.output.releaseKeys.map((key) => ['release', key] as const);
  }
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => {
      const [role = '', ...rest] = line.split(/\s+/);
      return [role, rest.join(' ')] as const;
    });
}

async function readText(path: string): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const buffer = Buffer.alloc(MAX_BYTES);
    const { bytesRead } = await file.read(buffer, 0, MAX_BYTES, 0);
    return buffer.toString('utf8', 0, bytesRead);
  } catch (cause) {
    throw new FloeError('USAGE', `the keys in ${path} cannot be read (${(cause as NodeJS.ErrnoException).code ?? 'unknown error'})`, { cause });
  }
}
