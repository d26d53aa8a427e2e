import { MAX_BYTES } from '@floe/model';
import { verifySignature } from '@floe/runtime';
import { nixBase32 } from './flake-lock.ts';

/** A `.narinfo` as any cache may serve it. What is signed of it comes first. */
export interface Narinfo {
  readonly storePath: string;
  /** `sha256:` in Nix's base 32. */
  readonly narHash: string;
  readonly narSize: number;
  /** Store paths, in the order in which they are signed. It may refer to itself. */
  readonly references: readonly string[];
  /** The file with the content: below the cache's URL, or a URL of its own. */
  readonly url: string;
  /** What that file should have; undefined: the cache does not say. */
  readonly fileSize: number | undefined;
  readonly signatures: readonly string[];
}

/** Larger than any narinfo: one names some thousand references at most. */
export const MAX_NARINFO_BYTES = 1024 * 1024;
const STORE = '/nix/store/';
/** What follows `/nix/store/`. */
export const STORE_NAME = /^[0-9a-z]{32}-[\w+.?=-]{1,211}$/;
const SHA256_BYTES = 32;
const MAX_URL_CHARACTERS = 4096;

/** Undefined: it is none, or of another path than `hash` names. */
export function parseNarinfo(text: string, hash: string): Narinfo | undefined {
  const fields = new Map<string, string>();
  const signatures: string[] = [];
  for (const line of text.split('\n')) {
    const [, name = '', value = ''] = /^(\w+):\s*(.*?)\s*$/.exec(line) ?? [];
    if (name === 'Sig') signatures.push(value);
    else if (name !== '') fields.set(name, value);
  }
  const storePath = fields.get('StorePath') ?? '';
  const narHash = parseHash(fields.get('NarHash') ?? '');
  const narSize = parseSize(fields.get('NarSize'));
  const url = fields.get('URL') ?? '';
  const listed = fields.get('References');
  if (!storePath.startsWith(`${STORE}${hash}-`) || !STORE_NAME.test(storePath.slice(STORE.length))) return undefined;
  if (narHash === undefined || narSize === undefined || listed === undefined) return undefined;
  if (url === '' || url.length > MAX_URL_CHARACTERS || url.split('/').includes('..')) return undefined;
  const names = listed.split(' ').filter((name) => name !== '');
  if (names.some((name) => !STORE_NAME.test(name))) return undefined;
  const references = [...new Set(names)].toSorted(byBytes).map((name) => `${STORE}${name}`);
  return { storePath, narHash, narSize, references, url, fileSize: parseSize(fields.get('FileSize')), signatures };
}

/** Whether one of these keys (`name:base64`) signed it, as hosts ask it of what they download. */
export function isSignedBy(entry: Narinfo, publicKeys: readonly string[]): boolean {
  const { storePath, narHash, narSize, references, signatures } = entry;
  const signed = Buffer.from(`1;${storePath};${narHash};${narSize};${references.join(',')}`);
  return publicKeys.some((each) => {
    const [name = '', publicKey = ''] = parts(each);
    return signatures.map(parts).some(([signer, signature = '']) => signer === name && verifySignature(publicKey, signed, signature));
  });
}

function parts(text: string): readonly string[] {
  const colon = text.indexOf(':');
  return [text.slice(0, colon), text.slice(colon + 1)];
}

/** In any of the forms that Nix reads. */
function parseHash(text: string): string | undefined {
  if (/^sha256:[0-9a-z]{52}$/.test(text)) return text;
  const [, hex] = /^sha256:([0-9a-f]{64})$/.exec(text) ?? [];
  const [, base64] = /^sha256[-:]([A-Za-z0-9+/]{43}=)$/.exec(text) ?? [];
  if (hex === undefined && base64 === undefined) return undefined;
  const bytes = hex === undefined ? Buffer.from(base64 ?? '', 'base64') : Buffer.from(hex, 'hex');
  return bytes.length === SHA256_BYTES ? `sha256:${nixBase32(bytes)}` : undefined;
}

function parseSize(text: string | undefined): number | undefined {
  const size = text !== undefined && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  return size <= MAX_BYTES ? size : undefined;
}

function byBytes(left: string, right: string): number {
  if (left === right) return 0;
  return left < right ? -1 : 1;
}
