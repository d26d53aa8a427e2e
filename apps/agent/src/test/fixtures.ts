import { emptyJournal, type AgentDirective, type AgentJournal, type AgentReport, type CommitSha, type HostName, type StorePath } from '@floe/model';
import {
  seal,
  sealDirectives,
  type Directive,
  type Envelope,
  type FreshnessStatement,
  type OneDirective,
  type PermitStatement,
  type ReleaseStatement,
  type SealedDirective,
  type StageHint,
} from '@floe/protocol';
import { generateKeyPem, sha256, signerFromPem, verifySignature, type Signer } from '@floe/runtime';
import type { AgentDeps } from '../agent.ts';
import type { DirectiveContext } from '../server/judge-directive.ts';

export const HOST = 'ada' as HostName;
export const MACHINE_ID = 'a'.repeat(32);
export const NONCE = 'nonce-of-this-connection';
export const SYSTEM = 'x86_64-linux';
export const REPOSITORY = 'https://git.example/fleet';
export const REF = 'refs/heads/main';
export const NOW = Date.UTC(2026, 10, 1);

/** Of a machine that tries no systems and takes any branch. */
const NO_TRIALS = { ref: undefined, trials: 'not-enabled', uptimeMs: 0, bootId: 'boot' } as const;

export function storePath(name: string): StorePath {
  return `/nix/store/${'a'.repeat(32)}-${name}` as StorePath;
}

export function newSigner(keyId: string): Signer {
  return signerFromPem(keyId, generateKeyPem());
}

/** Keys of a server and a builder, and what they sign. */
export interface Authorities {
  readonly release: Signer;
  readonly server: Signer;
}

export function newAuthorities(): Authorities {
  return { release: newSigner('release-1'), server: newSigner('server-1') };
}

/** A machine that trusts `keys` and has accepted nothing yet, a second after what {@link sealDirective} seals. */
export function directiveContext(keys: Authorities, changes: Partial<DirectiveContext> = {}): DirectiveContext {
  return {
    host: HOST,
    machineId: MACHINE_ID,
    system: SYSTEM,
    nonce: NONCE,
    serverNow: NOW + 1_000,
    machineNow: NOW,
    repository: undefined,
    journal: journalWith(),
    verify: verifySignature,
    sha256,
    ...NO_TRIALS,
    releaseKeys: [keys.release],
    serverKeys: [keys.server],
    rejectBefore: 0,
    ...changes,
  };
}

/** Settings of an agent whose machine is a fake one: nothing takes long. */
export function agentSettings(serverUrl: string, keys: Authorities, changes: Partial<AgentDeps['settings']> = {}): AgentDeps['settings'] {
  return {
    serverUrl,
    releaseKeys: [keys.release],
    serverKeys: [keys.server],
    rejectBefore: 0,
    repository: undefined,
    ref: undefined,
    slowRetryMs: 1_000,
    proxy: undefined,
    agentVersion: 'test',
    substituters: [],
    cachePublicKeys: [],
    maxBytesPerSecond: undefined,
    minFreeBytes: 1,
    healthGraceMs: 0,
    settleMs: 0,
    contactTimeoutMs: 5_000,
    serverLimitMs: 0,
    switchLimitMs: 60_000,
    bootLimitMs: 60_000,
    ...changes,
  };
}

function releaseStatement(changes: Partial<ReleaseStatement> = {}): ReleaseStatement {
  return {
    version: 1,
    repository: REPOSITORY,
    ref: REF,
    commit: 'c'.repeat(40) as CommitSha,
    sequence: 7,
    host: HOST,
    toplevel: storePath('new'),
    narHash: 'sha256:x',
    closureSizeBytes: 10,
    system: SYSTEM,
    issuedAt: NOW,
    expiresAt: NOW + 365 * 24 * 3600_000,
    ...changes,
  };
}

function freshnessStatement(changes: Partial<FreshnessStatement> = {}): FreshnessStatement {
  return { version: 1, repository: REPOSITORY, ref: REF, sequence: 7, asOf: NOW, ...changes };
}

function permitStatement(changes: Partial<PermitStatement> = {}): PermitStatement {
  return {
    version: 1,
    repository: REPOSITORY,
    ref: REF,
    host: HOST,
    machineId: MACHINE_ID,
    sequence: 7,
    toplevel: storePath('new'),
    floor: 9,
    actor: 'ada',
    reason: 'it broke the printers',
    issuedAt: NOW,
    expiresAt: NOW + 24 * 3600_000,
    nonce: NONCE,
    ...changes,
  };
}

export interface SealOptions {
  readonly directive?: Partial<Directive>;
  readonly release?: Partial<ReleaseStatement>;
  readonly freshness?: Partial<FreshnessStatement>;
  /** By the release key, or by `permitBy`. */
  readonly permit?: Partial<PermitStatement>;
  readonly permitBy?: Signer;
  readonly signers?: Partial<Authorities>;
  /** What a trial and a permit were signed for, where it is not this directive. */
  readonly onlyFor?: Partial<OneDirective>;
}

/** A directive with its release, as a server would send it. */
export function sealDirective(keys: Authorities, options: SealOptions = {}): Envelope {
  const { server } = { ...keys, ...options.signers };
  return seal(server, 'floe/directive', directiveOf(keys, options));
}

/** The same as a leaf of a tree, behind `before` of so many of its neighbours. */
export function sealInTree(keys: Authorities, options: SealOptions = {}, neighbours = 2, before = 1): SealedDirective {
  const { server } = { ...keys, ...options.signers };
  const others = Array.from({ length: neighbours }, (_, index) =>
    JSON.stringify(directiveOf(keys, { directive: { host: `host-${index}` as HostName, nonce: `nonce-of-connection-${index}` } })),
  );
  const own = JSON.stringify(directiveOf(keys, options));
  const [found] = sealDirectives(server, others.toSpliced(before, 0, own), sha256).slice(before);
  if (found === undefined) throw new Error('it is not in the tree');
  return found;
}

export function directiveOf(keys: Authorities, options: SealOptions = {}): Directive {
  const { release } = { ...keys, ...options.signers };
  const { machineId = MACHINE_ID, epoch = 3 } = options.directive ?? {};
  const onlyFor = { machineId, bootId: 'boot', epoch, ...options.onlyFor };
  return {
    version: 1,
    host: HOST,
    machineId: MACHINE_ID,
    epoch: 3,
    mode: 'activate',
    isRetry: false,
    release: seal(release, 'floe/release', releaseStatement({ ...(options.release?.purpose === undefined ? {} : { onlyFor }), ...options.release })),
    ...(options.freshness === undefined ? {} : { freshness: seal(release, 'floe/freshness', freshnessStatement(options.freshness)) }),
    ...(options.permit === undefined
      ? {}
      : { permit: seal(options.permitBy ?? release, 'floe/permit', permitStatement({ onlyFor, ...options.permit })) }),
    issuedAt: NOW,
    expiresAt: NOW + 24 * 3600_000,
    nonce: NONCE,
    ...options.directive,
  };
}

export interface SealHintOptions {
  readonly hint?: Partial<StageHint>;
  readonly release?: Partial<ReleaseStatement>;
  readonly signers?: Partial<Authorities>;
}

/** A hint with its release, as a server would send it. */
export function sealHint(keys: Authorities, options: SealHintOptions = {}): Envelope {
  const { release, server } = { ...keys, ...options.signers };
  const hint: StageHint = {
    version: 1,
    host: HOST,
    machineId: MACHINE_ID,
    release: seal(release, 'floe/release', releaseStatement(options.release)),
    spreadMs: 0,
    issuedAt: NOW,
    expiresAt: NOW + 24 * 3600_000,
    nonce: NONCE,
    ...options.hint,
  };
  return seal(server, 'floe/stage', hint);
}

export function journalWith(changes: Partial<AgentJournal> = {}): AgentJournal {
  return { ...emptyJournal(NOW), ...changes };
}

export function directiveWith(toplevel: StorePath): AgentDirective {
  const release = { repository: REPOSITORY, ref: REF, commit: 'c'.repeat(40) as CommitSha, sequence: 7, toplevel, closureSizeBytes: 10 };
  return { epoch: 3, trial: null, mode: 'activate', isRetry: false, release, envelope: '{}' };
}

export function reportWith(seq: number, changes: Partial<AgentReport> = {}): AgentReport {
  return {
    seq,
    epoch: 1,
    state: 'OFFERED',
    toplevel: storePath('new'),
    observed: { current: null, booted: null, profile: null },
    at: NOW,
    ...changes,
  };
}
