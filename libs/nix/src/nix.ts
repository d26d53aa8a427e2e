import type { HostName, StorePath } from '@floe/model';
import { build, type BuildOptions, type BuildResult, type BuildTarget } from './build.ts';
import { cacheTrust, type CacheSettings, type CacheTrust } from './cache-trust.ts';
import { closureChanges, type ClosureChanges } from './closure-changes.ts';
import { NixCommand, RepositoryCommand, type NixDeps, type RepositoryNixDeps } from './command.ts';
import { findSystem, type FoundSystem } from './find-system.ts';
import { evaluateHosts, type EvaluateOptions } from './evaluate.ts';
import { evaluateCheck, type CheckEvaluation } from './evaluate-check.ts';
import type { ReadLimits } from './evaluate-flake.ts';
import { lackingSettings, type LackingSettings } from './flake-settings.ts';
import { readFleetPolicy } from './fleet-policy.ts';
import { listHosts, type HostList } from './list-hosts.ts';
import { missingBytes, type MissingOptions } from './missing.ts';
import { notBuiltHere, type EvaluatedSystem } from './not-built-here.ts';
import { addRoot, removeRoot, setProfile } from './profile.ts';
import { mirror, publish, type MirrorOptions, type PublishOptions } from './publish.ts';
import { readBack, type PublishedPath, type ReadableCache } from './remote-cache/read-back.ts';
import { sourcesOf } from './sources.ts';
import { traceHost, type HostTrace, type TraceOptions } from './trace-host.ts';
import { isValid, realise, type RealiseOptions } from './realise.ts';

/** Nix on input from the repository, in the sandbox. Each method is documented at the function of the same name. */
export interface RepositoryNix {
  listHosts(flakeUrl: string, limits: ReadLimits): Promise<HostList>;
  readFleetPolicy(flakeUrl: string, limits: ReadLimits): Promise<unknown>;
  lackingSettings(flakeUrl: string, limits: ReadLimits): Promise<LackingSettings>;
  evaluateCheck(flakeUrl: string, name: string, limits: ReadLimits): Promise<CheckEvaluation>;
  evaluateHosts(flakeUrl: string, hosts: readonly HostName[], options: EvaluateOptions): Promise<void>;
  traceHost(flakeUrl: string, host: HostName, options: TraceOptions): Promise<HostTrace | undefined>;
  notBuiltHere(targets: readonly EvaluatedSystem[], signal: AbortSignal): Promise<ReadonlyMap<string, string>>;
  build(target: BuildTarget, options: BuildOptions): Promise<BuildResult>;
  sourcesOf(drvPath: string): Promise<readonly string[]>;
}

/** Nix on arguments of Floe's own: store paths, caches, keys. Each method is documented at the function of the same name. */
export interface Nix {
  publish(paths: readonly StorePath[], options: PublishOptions): Promise<void>;
  mirror(paths: readonly StorePath[], options: MirrorOptions): Promise<void>;
  readBack(cache: ReadableCache, paths: readonly StorePath[], signal?: AbortSignal): Promise<ReadonlyMap<StorePath, PublishedPath>>;
  realise(path: StorePath, options: RealiseOptions): Promise<void>;
  isValid(path: StorePath): Promise<boolean>;
  findSystem(path: StorePath, options: { readonly cacheUrls: readonly string[]; readonly signal: AbortSignal }): Promise<FoundSystem>;
  cacheTrust(path: StorePath, settings: CacheSettings): Promise<CacheTrust>;
  missingBytes(path: StorePath, options: MissingOptions): Promise<number | undefined>;
  setProfile(profile: string, path: StorePath): Promise<void>;
  addRoot(link: string, path: StorePath): Promise<void>;
  removeRoot(link: string): Promise<void>;
  closureChanges(before: StorePath, after: StorePath, signal?: AbortSignal): Promise<ClosureChanges>;
  /** Where the files of a store path are on this disk. */
  storeFilePath(path: StorePath): string;
}

/** `nix` adds the GC roots of what was built. */
export function createRepositoryNix(deps: RepositoryNixDeps, nix: Pick<Nix, 'addRoot'>): RepositoryNix {
  const command = new RepositoryCommand(deps);
  return {
    listHosts: async (flakeUrl, limits) => await listHosts(command, flakeUrl, limits),
    readFleetPolicy: async (flakeUrl, limits) => await readFleetPolicy(command, flakeUrl, limits),
    lackingSettings: async (flakeUrl, limits) => await lackingSettings(command, flakeUrl, limits),
    evaluateCheck: async (flakeUrl, name, limits) => await evaluateCheck(command, flakeUrl, name, limits),
    evaluateHosts: async (flakeUrl, hosts, options) => await evaluateHosts(command, flakeUrl, hosts, options),
    traceHost: async (flakeUrl, host, options) => await traceHost(command, flakeUrl, host, options),
    notBuiltHere: async (targets, signal) => await notBuiltHere(command, targets, signal),
    build: async (target, options) => await build(command, nix, target, options),
    sourcesOf: async (drvPath) => await sourcesOf(command, drvPath),
  };
}

export function createNix(deps: NixDeps): Nix {
  const command = new NixCommand(deps);
  return {
    publish: async (paths, options) => await publish(command, paths, options),
    mirror: async (paths, options) => await mirror(command, paths, options),
    readBack: async (cache, paths, signal) => await readBack(cache, paths, { signal }),
    realise: async (path, options) => await realise(command, path, options),
    isValid: async (path) => await isValid(command, path),
    findSystem: async (path, options) => await findSystem(command, path, options),
    cacheTrust: async (path, settings) => await cacheTrust(command, path, settings),
    missingBytes: async (path, options) => await missingBytes(command, path, options),
    setProfile: async (profile, path) => await setProfile(command, profile, path),
    addRoot: async (link, path) => await addRoot(command, link, path),
    removeRoot,
    closureChanges: async (before, after, signal) => await closureChanges(command, before, after, signal),
    storeFilePath: (path) => command.filePath(path),
  };
}
