import type { AgentState, CommitSha, HostName, StorePath } from '@floe/model';
import {
  seal,
  signedBytes,
  type Envelope,
  type ExportEnd,
  type ExportLine,
  type HostReport,
  type PermitStatement,
  type ReleaseStatement,
  type StableStatement,
} from '@floe/protocol';
import { auditContent, auditHash, chainedLine, generateKeyPem, signerFromPem, type Signer } from '@floe/runtime';

// A fleet's past as an export has it, and what is signed of it.

const DAY_MS = 24 * 3600_000;
const OF_BRANCH = { repository: 'https://git.example.org/fleet.git', ref: 'refs/heads/main' } as const;
export const COMMITS = ['a', 'b', 'c'].map((letter) => letter.repeat(40) as CommitSha);

interface Machine {
  readonly host: HostName;
  readonly machineId: string;
}

export function pathOf(host: string, sequence: number): StorePath {
  const letter = String.fromCharCode(97 + sequence);
  return `/nix/store/${letter.repeat(31)}${host.charCodeAt(0) % 10}-nixos-${host}-${sequence}` as StorePath;
}

export function releaseOf(host: HostName, sequence: number, commit: CommitSha, changes: Partial<ReleaseStatement> = {}): ReleaseStatement {
  return {
    version: 1,
    ...OF_BRANCH,
    commit,
    sequence,
    host,
    toplevel: pathOf(host, sequence),
    narHash: 'sha256:0',
    closureSizeBytes: 1,
    system: 'x86_64-linux',
    issuedAt: 1_000,
    expiresAt: 1_000 + 365 * DAY_MS,
    ...changes,
  };
}

/** The machine runs this release, by its directive `seq`. */
export function reportOf(
  { host, machineId }: Machine,
  seq: number,
  { repository, ref, commit, sequence, toplevel }: ReleaseStatement,
  changes: Partial<HostReport> = {},
): HostReport {
  return {
    version: 1,
    host,
    machineId,
    bootId: 'boot-1',
    seq,
    epoch: seq,
    state: 'SUCCEEDED' satisfies AgentState,
    toplevel,
    release: { repository, ref, commit, sequence, toplevel },
    floor: sequence,
    isTrial: false,
    isOverridden: false,
    observed: { current: toplevel, booted: toplevel, profile: { generation: seq, toplevel } },
    code: null,
    at: 1_700_000_000_000 + seq,
    nonce: 'nonce',
    ...changes,
  };
}

/** Lets the machine go from the release 3 down to the release 2. */
export function permitOf({ host, machineId }: Machine, changes: Partial<PermitStatement> = {}): PermitStatement {
  return {
    version: 1,
    ...OF_BRANCH,
    host,
    machineId,
    sequence: 2,
    toplevel: pathOf(host, 2),
    floor: 3,
    actor: 'ada',
    reason: 'the screen stays dark',
    issuedAt: 3_000,
    expiresAt: 3_000 + DAY_MS,
    nonce: 'nonce',
    ...changes,
  };
}

/** All of these hosts are stable on the release with this sequence. */
export function stableOf(number: number, hosts: readonly HostName[], sequence: number, changes: Partial<StableStatement> = {}): StableStatement {
  const told = hosts.map((host) => ({ host, sequence, toplevel: pathOf(host, sequence) }));
  return { version: 1, ...OF_BRANCH, number, hosts: told, issuedAt: 2_000, ...changes };
}

/** The lines chained, and the end signed: what whoever has the server key can make. */
export function resealed(lines: readonly ExportLine[], signer: Signer, changes: Partial<ExportEnd> = {}): string {
  let hash = '';
  const made: string[] = [];
  for (const value of lines) {
    if (value.kind === 'end') continue;
    const chained = chainedLine(hash, value);
    made.push(chained.line);
    ({ hash } = chained);
  }
  const signed = JSON.stringify({ version: 1, lines: made.length, hash, at: 1, ...changes });
  const end = { kind: 'end', keyId: signer.keyId, signature: signer.sign(signedBytes('floe/export', Buffer.from(signed))), signed };
  return `${[...made, chainedLine(hash, end).line].join('\n')}\n`;
}

/** Entries of an audit log as they are chained, one for each time. */
export function auditOf(times: readonly number[]): (ExportLine & { readonly kind: 'audit' })[] {
  let hash = '';
  return times.map((at, index) => {
    const content = { at, actor: 'ada', action: 'retry', subject: 'bob', detail: `because of ${index}`, refusedOn: null };
    hash = auditHash(hash, auditContent(content));
    return { kind: 'audit', id: index + 1, ...content, count: 1, lastAt: null, hash };
  });
}

export function auditHead(signer: Signer, { id, at, hash }: { readonly id: number; readonly at: number; readonly hash: string | null }): ExportLine {
  const signed = JSON.stringify({ id, at, hash });
  return { kind: 'audit-head', keyId: signer.keyId, signature: signer.sign(signedBytes('floe/audit-head', Buffer.from(signed))), signed };
}

/** When the export of {@link pastFleet} is made, and how long its audit log is kept. */
export const [EXPORTED_AT, KEPT_MS] = [1_000 * DAY_MS, 100 * DAY_MS];

export type PastHost = Machine & { readonly signer: Signer };

/** Of `commits`, ada is on the newest; bob went back by a permit; cyd is behind; dan was don before; eve was revoked. */
export function pastFleet(commits: readonly CommitSha[] = COMMITS) {
  const [release, server] = (['release-1', 'server-1'] as const).map((keyId) => signerFromPem(keyId, generateKeyPem())) as [Signer, Signer];
  const made = (name: string): PastHost => ({
    host: name as HostName,
    machineId: 'a'.repeat(32),
    signer: signerFromPem('host', generateKeyPem()),
  });
  const hosts = { ada: made('ada'), bob: made('bob'), cyd: made('cyd'), dan: made('dan'), eve: made('eve') };
  const don = 'don' as HostName;
  const names = Object.values(hosts).map(({ host }) => host);
  const releaseLine = (statement: ReleaseStatement): ExportLine => ({ kind: 'release', envelope: seal(release, 'floe/release', statement) });
  const reportLine = ({ host, signer }: PastHost, of: 'newest' | 'end', statement: HostReport): ExportLine => {
    return { kind: 'report', host, of, publicKey: signer.publicKey, envelope: seal(signer, 'floe/report', statement) };
  };
  const access = (type: 'enrolment' | 'revocation' | 'rename', statement: object): ExportLine => {
    return { kind: 'access', envelope: seal(server, `floe/${type}`, { version: 1, ...statement }) };
  };
  const commitOf = (sequence: number): CommitSha => commits[sequence - 1] ?? commits[0]!;
  const onRelease = (name: HostName, sequence: number): ReleaseStatement => releaseOf(name, sequence, commitOf(sequence));
  const { ada, bob, cyd, dan, eve } = hosts;
  const asDon = { host: don, machineId: dan.machineId };
  const reports: [PastHost, HostReport[]][] = [
    [ada, [1, 2, 3].map((sequence) => reportOf(ada, sequence, onRelease(ada.host, sequence)))],
    [bob, [1, 3, 2].map((sequence, index) => reportOf(bob, index + 1, onRelease(bob.host, sequence), { floor: Math.max(sequence, index + 1) }))],
    [cyd, [1, 2].map((sequence) => reportOf(cyd, sequence, onRelease(cyd.host, sequence)))],
    [dan, [reportOf(asDon, 1, onRelease(don, 1)), reportOf(dan, 2, onRelease(dan.host, 3))]],
    [eve, [reportOf(eve, 1, onRelease(eve.host, 1))]],
  ];
  const entries = auditOf(Array.from({ length: 5 }, (_, index) => EXPORTED_AT - 10 * DAY_MS + index));
  const lines: ExportLine[] = [
    { kind: 'header', format: 'floe-export', version: 1, at: EXPORTED_AT, ...OF_BRANCH, releasesFrom: 'log', keepAuditMs: KEPT_MS },
    ...([release, server] as const).map(({ keyId, publicKey }, index): ExportLine => {
      return { kind: 'key', role: index === 0 ? 'release' : 'server', keyId, publicKey };
    }),
    ...Object.values(hosts).map(({ host, machineId, signer }): ExportLine => {
      const sequence = { ada: 3, bob: 2, cyd: 3, dan: 3, eve: 1 }[host as string] ?? 0;
      const desired = { sequence, toplevel: pathOf(host, sequence), permit: null };
      return { kind: 'host', host, machineId, publicKey: signer.publicKey, revokedAt: host === 'eve' ? 6_000 : null, desired };
    }),
    ...reports.flatMap(([host, said]) => [
      ...said.map((each) => reportLine(host, 'end', each)),
      ...said.slice(-1).map((each) => reportLine(host, 'newest', each)),
      ...(host === bob ? [{ kind: 'permit' as const, host: bob.host, envelope: seal(release, 'floe/permit', permitOf(bob)) }] : []),
    ]),
    ...[1, 2].map((number): ExportLine => {
      return { kind: 'stable', envelope: seal(release, 'floe/stable', stableOf(number, [ada.host, bob.host, cyd.host], number)) };
    }),
    { kind: 'freshness', envelope: seal(release, 'floe/freshness', { version: 1, ...OF_BRANCH, sequence: 3, asOf: 4_000 }) },
    ...[3, 2, 1].map((sequence): ExportLine => {
      return { kind: 'revision', sequence, commit: commitOf(sequence), state: 'PUBLISHED', isHandover: false };
    }),
    ...[1, 2, 3].flatMap((sequence) => [...names, don].map((name) => releaseLine(onRelease(name, sequence)))),
    ...Object.values(hosts).map(({ host, machineId, signer }, index) => {
      return access('enrolment', { host: host === 'dan' ? don : host, machineId, publicKey: signer.publicKey, enrolledAt: 1_000 + index });
    }),
    access('rename', {
      formerHost: don,
      host: dan.host,
      machineId: dan.machineId,
      publicKey: dan.signer.publicKey,
      sequence: 2,
      renamedAt: 5_000,
      reason: '',
    }),
    access('revocation', { host: eve.host, publicKey: eve.signer.publicKey, revokedAt: 6_000, reason: 'stolen' }),
    auditHead(server, entries[2]!),
    ...entries,
  ];
  return { release, server, hosts, lines, onRelease, releaseLine, reportLine, access, entries };
}
export type PastFleet = ReturnType<typeof pastFleet>;

/** Another statement in the place of a line's, signed by `signer`. */
export function withStatement<Line extends ExportLine & { readonly envelope: Envelope }>(line: Line, signer: Signer, statement: object): Line {
  return { ...line, envelope: seal(signer, line.envelope.type, statement) };
}
