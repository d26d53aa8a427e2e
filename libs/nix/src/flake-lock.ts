import { createHash } from 'node:crypto';
import { storableText } from '@floe/model';
import * as v from 'valibot';
import { remoteOf, type InputRemote } from './input-remote.ts';
import { mapOf } from './map-of.ts';

/** An input of a flake, or of one of its inputs, from `flake.lock`. */
export interface LockedInput {
  /** Its name for people: `nixpkgs`, or `home-manager/nixpkgs` for an input of an input. */
  readonly name: string;
  /** As in flake.nix: `github:NixOS/nixpkgs`. */
  readonly url: string;
  /** The argument of `builtins.fetchTree`, as JSON. */
  readonly locked: string;
  /** The store path of its files once they are fetched; undefined when the lock file does not determine it. */
  readonly storePath: string | undefined;
  /** Undefined when it needs no login. */
  readonly remote: InputRemote | undefined;
  /** It is a folder of some machine. */
  readonly isFolder: boolean;
}

const Attribute = v.union([v.string(), v.number(), v.boolean()]);
const Node = v.object({
  inputs: v.optional(mapOf(v.union([v.string(), v.array(v.string())])), {}),
  locked: v.optional(v.record(v.string(), Attribute)),
  original: v.fallback(v.optional(v.record(v.string(), Attribute)), undefined),
});
const Lock = v.object({ root: v.string(), nodes: mapOf(Node) });

/** More inputs than any flake has. Checking one takes a process. */
const MAX_INPUTS = 500;
const MAX_NAME_CHARACTERS = 200;
/** Larger than any lock file (hundreds of inputs take 100 kB). It is parsed in the server's main thread, so the work must be bounded. */
export const MAX_LOCK_CHARACTERS = 2 * 1024 ** 2;
const MAX_REFERENCES = 20_000;

/** All fetched inputs, those of the flake itself first; undefined: not a lock file. Of too many inputs, the first {@link MAX_INPUTS}. */
export function readLock(text: string): readonly LockedInput[] | undefined {
  if (text.length > MAX_LOCK_CHARACTERS) return undefined;
  let lock: v.InferOutput<typeof Lock>;
  try {
    lock = v.parse(Lock, JSON.parse(text));
  } catch {
    return undefined;
  }
  if (!lock.nodes.has(lock.root)) return undefined;
  const inputs: LockedInput[] = [];
  const seen = new Set<string>([lock.root]);
  const queue: { readonly key: string; readonly prefix: string }[] = [{ key: lock.root, prefix: '' }];
  let references = 0;
  for (const { key, prefix } of queue) {
    for (const [name, target] of lock.nodes.get(key)?.inputs ?? []) {
      references += 1;
      if (references > MAX_REFERENCES || inputs.length >= MAX_INPUTS) return inputs;
      // Cut first: a name can be as long as the file, and thousands of inputs may follow it.
      const path = `${prefix}${name.slice(0, MAX_NAME_CHARACTERS)}`.slice(0, MAX_NAME_CHARACTERS);
      // A list of names "follows" another input, which has its own node. At the top its name counts as present.
      if (typeof target !== 'string') {
        const url = storableText(target.join('/'), MAX_NAME_CHARACTERS);
        if (key === lock.root) inputs.push({ name: storableText(path), url, locked: '', storePath: undefined, remote: undefined, isFolder: false });
        continue;
      }
      const node = lock.nodes.get(target);
      if (node === undefined) return undefined;
      if (seen.has(target)) continue;
      seen.add(target);
      queue.push({ key: target, prefix: `${path}/` });
      const input = inputOf(path, node);
      if (input !== undefined) inputs.push(input);
    }
  }
  return inputs;
}

function inputOf(name: string, { locked, original }: v.InferOutput<typeof Node>): LockedInput | undefined {
  if (locked === undefined) return undefined;
  const { dir: _, ...fetched } = locked;
  const narHash = typeof locked['narHash'] === 'string' ? locked['narHash'] : undefined;
  return {
    name: storableText(name),
    url: storableText(urlOf(original?.['type'] === 'indirect' ? locked : (original ?? locked)), MAX_NAME_CHARACTERS),
    locked: JSON.stringify(fetched),
    storePath: narHash === undefined ? undefined : sourcePath(narHash),
    // What git fetches besides may be at another port of the host, or at another one: that gets no login.
    remote: ['submodules', 'lfs'].some((more) => (locked[more] ?? false) !== false) ? undefined : remoteOf(locked),
    isFolder: locked['type'] === 'path' && String(locked['path']).startsWith('/'),
  };
}

function urlOf(reference: Readonly<Record<string, string | number | boolean>>): string {
  const text = (name: string): string => String(reference[name] ?? '');
  switch (reference['type']) {
    case 'github':
    case 'gitlab':
    case 'sourcehut':
      return `${text('type')}:${text('owner')}/${text('repo')}`;
    case 'path':
      return `path:${text('path')}`;
    default:
      return text('url');
  }
}

const BASE_32 = '0123456789abcdfghijklmnpqrsvwxyz';

/** The store path of a fetched source with this hash: the result of `builtins.fetchTree`, without running Nix. */
export function sourcePath(narHash: string): string | undefined {
  const digest = /^sha256-([A-Za-z0-9+/]{43}=)$/.exec(narHash)?.[1];
  if (digest === undefined) return undefined;
  const hex = Buffer.from(digest, 'base64').toString('hex');
  const hash = createHash('sha256').update(`source:sha256:${hex}:/nix/store:source`).digest();
  return `/nix/store/${nixBase32(compress(hash, 20))}-source`;
}

/** Nix's truncation of a hash: bytes beyond the length are folded back by XOR. */
function compress(hash: Buffer, size: number): Buffer {
  const short = Buffer.alloc(size);
  for (const [index, byte] of hash.entries()) short[index % size] = (short[index % size] ?? 0) ^ byte;
  return short;
}

/** Nix's base 32: from the last bits to the first, with an alphabet without e, o, t and u. */
export function nixBase32(bytes: Buffer): string {
  let text = '';
  for (let place = Math.ceil((bytes.length * 8) / 5) - 1; place >= 0; place -= 1) {
    const bit = place * 5;
    const low = (bytes[bit >> 3] ?? 0) >> (bit & 7);
    const high = (bytes[(bit >> 3) + 1] ?? 0) << (8 - (bit & 7));
    text += BASE_32[(low | high) & 31];
  }
  return text;
}
