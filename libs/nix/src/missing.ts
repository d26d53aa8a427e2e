import type { StorePath } from '@floe/model';
import * as v from 'valibot';
import type { NixCommand } from './command.ts';

export interface MissingOptions {
  /** Nix store URLs, tried in their order. */
  readonly substituters: readonly string[];
  readonly signal?: AbortSignal | undefined;
}

const TIMEOUT_MS = 120_000;
/** Maximum number of arguments of one command: far below the system's limit. */
const PATHS_AT_ONCE = 500;
const Info = v.object({ path: v.optional(v.string()), narSize: v.number() });
/** Up to Nix 2.18 an array; since then an object by path (null: missing). */
const Infos = v.pipe(v.string(), v.parseJson(), v.union([v.array(Info), v.record(v.string(), v.nullable(Info))]));

/**
 * The bytes of the closure of `path` that the store still lacks, unpacked, according to the first cache that answers. Undefined
 * when none answers: then the download reports why.
 */
export async function missingBytes(command: NixCommand, path: StorePath, options: MissingOptions): Promise<number | undefined> {
  for (const store of options.substituters) {
    const { result, isOk } = await command.runBare('nix', ['path-info', '--json', '--recursive', '--store', store, path], {
      signal: options.signal,
      timeoutMs: TIMEOUT_MS,
    });
    const parsed = isOk ? v.safeParse(Infos, result.stdout) : undefined;
    if (parsed?.success !== true) continue;
    const sizes = sizesOf(parsed.output);
    let missing = 0;
    for (const invalid of await invalidPaths(command, [...sizes.keys()], options.signal)) missing += sizes.get(invalid) ?? 0;
    return missing;
  }
  return undefined;
}

function sizesOf(infos: v.InferOutput<typeof Infos>): Map<string, number> {
  const entries = Array.isArray(infos) ? infos.map((info) => [info.path ?? '', info] as const) : Object.entries(infos);
  return new Map(entries.flatMap(([path, info]) => (info === null || path === '' ? [] : [[path, info.narSize]])));
}

/** Those that are not registered in the store. */
export async function invalidPaths(command: NixCommand, paths: readonly string[], signal: AbortSignal | undefined): Promise<string[]> {
  const invalid: string[] = [];
  for (let start = 0; start < paths.length; start += PATHS_AT_ONCE) {
    const some = paths.slice(start, start + PATHS_AT_ONCE);
    const { result } = await command.run('nix-store', ['--check-validity', '--print-invalid', ...some], { signal, timeoutMs: TIMEOUT_MS });
    invalid.push(...result.stdout.split('\n').filter((line) => line !== ''));
  }
  return invalid;
}
