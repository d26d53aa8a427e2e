import type { StorePath } from '@floe/model';
import { MAX_BYTES } from '@floe/model';
import * as v from 'valibot';
import { parseAnswer } from './answer.ts';
import type { CommandResult, NixCommand } from './command.ts';
import { commandFailed } from './failure.ts';

/** A NixOS system that somebody names by its path. */
export type FoundSystem =
  /** `isHere`: it is in the machine's own store, and not only in the cache. */
  | { readonly kind: 'found'; readonly isHere: boolean; readonly system: string; readonly closureSizeBytes: number }
  | { readonly kind: 'absent' }
  | { readonly kind: 'not-nixos'; readonly why: string };

interface Options {
  /** Nix store URLs: the first one that has it counts. */
  readonly cacheUrls: readonly string[];
  readonly signal: AbortSignal;
}

const Info = v.object({ closureSize: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_BYTES)) });
/** Up to Nix 2.18 an array, where a path that is not there has no size; since then an object by path, with null. */
const Infos = v.union([v.array(v.union([Info, v.object({ valid: v.literal(false) }), v.null()])), v.record(v.string(), v.nullable(Info))]);
/** Of a folder: the names in it. Nix says nothing of what is in a folder of a folder. */
const Listing = v.object({ type: v.string(), entries: v.optional(v.record(v.string(), v.unknown()), {}) });
const MAX_SYSTEM_CHARACTERS = 64;
const MAX_ANSWER_BYTES = 1024 * 1024;

/** Nix remembers for an hour that a cache lacks a path, and it may have been copied there a minute ago. */
const ASK_ANEW = ['--option', 'narinfo-cache-negative-ttl', '0'];

/** As the agents check it before they run anything of a system (docs/targets.md). */
const MARKS = ['nixos-version', 'system', 'activate', 'bin'];

/**
 * Looks for a system in the machine's own store, then in the cache, and reads what kind it is. Runs nothing of it, downloads at most the path
 * itself, and judges no signature. Throws retryable errors.
 */
export async function findSystem(command: NixCommand, path: StorePath, { cacheUrls, signal }: Options): Promise<FoundSystem> {
  const here = await sizeOf((args) => command.run('nix', args, { signal }), path);
  const isHere = here !== undefined;
  const options = { signal, maxStdoutBytes: MAX_ANSWER_BYTES };
  let ask: Ask = async (args) => await command.run('nix', args, options);
  let closureSizeBytes = here;
  for (const url of isHere ? [] : cacheUrls) {
    ask = async (args) => await command.runBare('nix', [...args, ...ASK_ANEW, '--store', url], options);
    closureSizeBytes = await sizeOf(ask, path);
    if (closureSizeBytes !== undefined) break;
  }
  if (closureSizeBytes === undefined) return { kind: 'absent' };

  const top = await list(ask, path);
  const missing = MARKS.filter((mark) => !top.has(mark));
  if (missing.length > 0) return { kind: 'not-nixos', why: `it has no ${missing.join(', ')}` };
  if (!(await list(ask, `${path}/bin`)).has('switch-to-configuration')) return { kind: 'not-nixos', why: 'it has no bin/switch-to-configuration' };
  const { result, log, isOk } = await ask(['store', 'cat', `${path}/system`]);
  if (!isOk) throw commandFailed(`reading ${path}/system`, log, result);
  const system = result.stdout.trim();
  if (system.length > MAX_SYSTEM_CHARACTERS || !/^[\w-]+$/.test(system)) return { kind: 'not-nixos', why: 'its file "system" names no platform' };
  return { kind: 'found', isHere, system, closureSizeBytes };
}

type Ask = (args: readonly string[]) => Promise<CommandResult>;

/** Undefined: it is not there. */
async function sizeOf(ask: Ask, path: StorePath): Promise<number | undefined> {
  const { result, log, isOk } = await ask(['path-info', '--json', '--closure-size', path]);
  if (!isOk) throw commandFailed(`looking for ${path}`, log, result);
  const infos = parseAnswer(Infos, result.stdout);
  const info = Array.isArray(infos) ? infos[0] : infos[path];
  return info !== undefined && info !== null && 'closureSize' in info ? info.closureSize : undefined;
}

async function list(ask: Ask, path: string): Promise<ReadonlySet<string>> {
  const { result, log, isOk } = await ask(['store', 'ls', '--json', path]);
  if (!isOk) throw commandFailed(`listing ${path}`, log, result);
  return new Set(Object.keys(parseAnswer(Listing, result.stdout).entries));
}
