import { STORE_PATH_FORM, type StorePath } from '@floe/model';
import { FloeError } from '@floe/runtime';
import * as v from 'valibot';
import type { NixCommand } from './command.ts';
import { commandFailed } from './failure.ts';

/** A package whose versions or size differ between two closures. */
export interface PackageChange {
  /** As in `builtins.parseDrvName`. */
  readonly name: string;
  /** The distinct versions, oldest first; '' for a path without one. Empty: not in that closure. */
  readonly before: readonly string[];
  readonly after: readonly string[];
  readonly sizeDeltaBytes: number;
}

/** The differences of two closures. Sizes are of unpacked files, in bytes. */
export interface ClosureChanges {
  /** Sorted by name. Packages that were only rebuilt, with the same version and about the same size, are only counted. */
  readonly packages: readonly PackageChange[];
  /** Number of packages that the first closure does not have in any version. */
  readonly addedCount: number;
  /** Number of packages that the second closure does not have in any version. */
  readonly removedCount: number;
  /** Number of rebuilt packages that are not listed. */
  readonly rebuiltCount: number;
  readonly sizeBeforeBytes: number;
  readonly sizeAfterBytes: number;
}

/** Store path → size of its files in bytes. */
export type Closure = ReadonlyMap<StorePath, number>;

interface PackageName {
  readonly name: string;
  readonly version: string;
}

/** A package of the same version whose size differs by less than this counts as rebuilt, and is not listed. */
const NOTABLE_BYTES = 64 * 1024;
/** Maximum number of store paths on one command line: well below the kernel's 2 MB. */
const PATHS_AT_ONCE = 1_000;
const TIMEOUT_MS = 2 * 60_000;
const HASH_CHARACTERS = '/nix/store/'.length + 32 + 1;
/** Names of outputs that follow the version in nixpkgs' packages. A version may itself end in a word ("unstable"). */
const OUTPUTS = /(?:-(?:bin|lib|lib32|lib64|libgcc|man|info|doc|devdoc|dev|dist|data|static|debug|getent|terminfo|tools|modules|out|nc|npm|py|xz))+$/;

const Sizes = v.array(v.pipe(v.string(), v.regex(/^\d+$/), v.transform(Number)));
const Paths = v.array(
  v.pipe(
    v.string(),
    v.regex(STORE_PATH_FORM),
    v.transform((text) => text as StorePath),
  ),
);

/** The differences of two closures in the store. Throws CLOSURE_NOT_HERE when one is missing, and retryable NIX_FAILED or NIX_STOPPED. */
export async function closureChanges(command: NixCommand, before: StorePath, after: StorePath, signal?: AbortSignal): Promise<ClosureChanges> {
  const [beforePaths, afterPaths] = await Promise.all([requisites(command, before, signal), requisites(command, after, signal)]);
  const sizes = await sizesOf(command, [...new Set([...beforePaths, ...afterPaths])], signal);
  const closure = (paths: readonly StorePath[]): Closure => new Map(paths.map((path) => [path, sizes.get(path) ?? 0]));
  return compareClosures(closure(beforePaths), closure(afterPaths));
}

/** The pure part of {@link closureChanges}. */
export function compareClosures(before: Closure, after: Closure): ClosureChanges {
  const old = byPackage(before);
  const young = byPackage(after);
  const packages: PackageChange[] = [];
  let rebuiltCount = 0;
  for (const name of new Set([...old.keys(), ...young.keys()])) {
    const [was, is] = [old.get(name) ?? NOTHING, young.get(name) ?? NOTHING];
    if (isSameSet(was.paths, is.paths)) continue;
    const sizeDeltaBytes = is.sizeBytes - was.sizeBytes;
    if (isSameSet(was.versions, is.versions) && Math.abs(sizeDeltaBytes) < NOTABLE_BYTES) rebuiltCount += 1;
    else packages.push({ name, before: sorted(was.versions), after: sorted(is.versions), sizeDeltaBytes });
  }
  packages.sort((one, other) => (one.name < other.name ? -1 : 1));
  return {
    packages,
    addedCount: packages.filter((each) => each.before.length === 0).length,
    removedCount: packages.filter((each) => each.after.length === 0).length,
    rebuiltCount,
    sizeBeforeBytes: total(before),
    sizeAfterBytes: total(after),
  };
}

/**
 * The name and version in a store path: the version begins after the first dash that is not followed by a letter, as in
 * `builtins.parseDrvName`. The name of an output is not part of the version.
 */
export function packageNameOf(path: StorePath): PackageName {
  const text = path.slice(HASH_CHARACTERS);
  const dash = text.search(/-[^A-Za-z]/);
  if (dash <= 0) return { name: text, version: '' };
  return { name: text.slice(0, dash), version: text.slice(dash + 1).replace(OUTPUTS, '') };
}

interface Package {
  readonly versions: Set<string>;
  readonly paths: Set<StorePath>;
  sizeBytes: number;
}

const NOTHING: Package = { versions: new Set(), paths: new Set(), sizeBytes: 0 };

function byPackage(closure: Closure): Map<string, Package> {
  const packages = new Map<string, Package>();
  for (const [path, sizeBytes] of closure) {
    const { name, version } = packageNameOf(path);
    const known = packages.get(name) ?? { versions: new Set(), paths: new Set(), sizeBytes: 0 };
    known.versions.add(version);
    known.paths.add(path);
    known.sizeBytes += sizeBytes;
    packages.set(name, known);
  }
  return packages;
}

function sorted(versions: ReadonlySet<string>): string[] {
  return [...versions].toSorted((one, other) => one.localeCompare(other, 'en', { numeric: true }));
}

function isSameSet<T>(one: ReadonlySet<T>, other: ReadonlySet<T>): boolean {
  return one.size === other.size && [...one].every((each) => other.has(each));
}

function total(closure: Closure): number {
  return closure.values().reduce((sum, sizeBytes) => sum + sizeBytes, 0);
}

async function requisites(command: NixCommand, path: StorePath, signal: AbortSignal | undefined): Promise<StorePath[]> {
  const { result, log, isOk } = await command.run('nix-store', ['--query', '--requisites', path], { signal, timeoutMs: TIMEOUT_MS });
  if (isOk) return parseLines(Paths, result.stdout);
  if (result.end === 'exited' && !(await command.run('nix-store', ['--check-validity', path], { signal, timeoutMs: TIMEOUT_MS })).isOk)
    throw new FloeError('CLOSURE_NOT_HERE', `${path} is not in this machine's store, so what is in it cannot be compared`);
  throw commandFailed(`reading the closure of ${path}`, log, result);
}

/** One line per path in the order of the arguments, in every version of Nix. The JSON of `nix path-info` changed twice. */
async function sizesOf(command: NixCommand, paths: readonly StorePath[], signal: AbortSignal | undefined): Promise<Map<StorePath, number>> {
  const sizes = new Map<StorePath, number>();
  for (let start = 0; start < paths.length; start += PATHS_AT_ONCE) {
    const some = paths.slice(start, start + PATHS_AT_ONCE);
    const { result, log, isOk } = await command.run('nix-store', ['--query', '--size', ...some], { signal, timeoutMs: TIMEOUT_MS });
    if (!isOk) throw commandFailed('reading the sizes of store paths', log, result);
    const lines = parseLines(Sizes, result.stdout);
    if (lines.length !== some.length) throw unexpected(`${lines.length} sizes of ${some.length} paths`);
    for (const [index, path] of some.entries()) sizes.set(path, lines[index] ?? 0);
  }
  return sizes;
}

function parseLines<T>(schema: v.GenericSchema<unknown, T>, text: string): T {
  const parsed = v.safeParse(schema, text.split('\n').slice(0, -1));
  if (!parsed.success) throw unexpected(v.summarize(parsed.issues).slice(0, 500));
  return parsed.output;
}

function unexpected(what: string): FloeError<'NIX_ANSWER_UNEXPECTED'> {
  return new FloeError('NIX_ANSWER_UNEXPECTED', `nix-store answered in a form that is not known: ${what}`);
}
