import { loggedEnvelopes, type LoggedEnvelope } from '@floe/pipeline';
import {
  EXPORT_FORMAT,
  PublicKey,
  signedBytes,
  storedEnvelope,
  type ExportEnd,
  type ExportLine,
  type ExportLineOf,
  type TrustedKey,
} from '@floe/protocol';
import { chainedLine, type Clock, type Signer } from '@floe/runtime';
import type { HostRow, ListedHostStatement, PagedRelease, Repository, StorePart } from '@floe/store';
import * as v from 'valibot';
import type { AuditHeads } from '../audit-heads.ts';

/** So many rows are read at a time: what an export holds in memory. */
const PAGE = 200;

export interface ExportDeps {
  readonly store: StorePart<{ hosts: 'list'; hostStatements: 'page'; releases: 'page' | 'toOffer'; revisions: 'list'; audit: 'page' }>;
  readonly repository: Repository;
  /** The statement log. */
  readonly statementsDir: string;
  /** Who has the releases: the log, or, of a builder of its own process, the database. */
  readonly releasesFrom: 'log' | 'database';
  readonly auditHeads: Pick<AuditHeads, 'signed'>;
  readonly serverSigner: Signer;
  readonly releaseKeys: readonly TrustedKey[];
  readonly keepAuditMs: number;
  readonly clock: Pick<Clock, 'now'>;
}

/**
 * The lines of an export, each made when it is asked for. What refers to something comes before it: what a host signed about a release is read before the
 * releases, so that one which is signed meanwhile is never missing.
 */
export async function* exportLines(deps: ExportDeps): AsyncGenerator<string> {
  const { serverSigner, clock } = deps;
  let hash = '';
  let lines = 0;
  for await (const value of exported(deps)) {
    const chained = chainedLine(hash, value);
    hash = chained.hash;
    lines += 1;
    yield chained.line;
  }
  const signed = JSON.stringify({ version: 1, lines, hash, at: clock.now() } satisfies ExportEnd);
  const signature = serverSigner.sign(signedBytes('floe/export', Buffer.from(signed)));
  yield chainedLine(hash, { kind: 'end', keyId: serverSigner.keyId, signature, signed } satisfies ExportLine).line;
}

async function* exported(deps: ExportDeps): AsyncGenerator<ExportLine> {
  const { store, repository, statementsDir, releasesFrom, auditHeads, serverSigner, releaseKeys, keepAuditMs, clock } = deps;
  yield {
    kind: 'header',
    format: EXPORT_FORMAT,
    version: 1,
    at: clock.now(),
    repository: repository.url,
    ref: `refs/heads/${repository.branch}`,
    releasesFrom,
    keepAuditMs,
  };
  for (const { keyId, publicKey } of releaseKeys) yield { kind: 'key', role: 'release', keyId, publicKey };
  yield { kind: 'key', role: 'server', keyId: serverSigner.keyId, publicKey: serverSigner.publicKey };
  for (const row of await store.hosts.list(repository.id)) yield hostLine(row);
  yield* hostStatements(deps);
  if (releasesFrom === 'log') for await (const logged of loggedEnvelopes(statementsDir, 'stable')) yield statementLine('stable', logged);
  const { freshness } = await store.releases.toOffer(repository.id, []);
  const fresh = freshness === undefined ? undefined : storedEnvelope(freshness);
  if (fresh !== undefined) yield { kind: 'freshness', envelope: fresh };
  yield* revisions(deps);
  if (releasesFrom === 'log') for await (const logged of loggedEnvelopes(statementsDir, 'releases')) yield statementLine('release', logged);
  else yield* releases(deps);
  for await (const logged of loggedEnvelopes(statementsDir, 'access')) yield statementLine('access', logged);
  for (const head of await auditHeads.signed())
    yield head === undefined ? { kind: 'unreadable', what: 'a signed end of the audit log' } : { kind: 'audit-head', ...head };
  for await (const entry of paged(async (last: { readonly id: number } | undefined) => await store.audit.page(PAGE, last?.id)))
    yield { kind: 'audit', ...entry };
}

/** Rows, page by page. */
async function* paged<Row>(read: (last: Row | undefined) => Promise<readonly Row[]>): AsyncGenerator<Row> {
  for (let last: Row | undefined; ;) {
    const rows = await read(last);
    yield* rows;
    last = rows.at(-1);
    if (rows.length < PAGE) return;
  }
}

function hostLine({ host, machineId, publicKey, revokedAt, desired }: HostRow): ExportLineOf<'host'> {
  return {
    kind: 'host',
    host,
    machineId: machineId ?? null,
    publicKey: publicKey ?? null,
    revokedAt: revokedAt ?? null,
    desired:
      desired === undefined
        ? null
        : {
            sequence: desired.sequence,
            toplevel: desired.toplevel,
            permit: desired.permit === undefined ? null : { by: desired.permit.by, reason: desired.permit.reason },
          },
  };
}

function statementLine(kind: 'release' | 'access' | 'stable', { file, envelope }: LoggedEnvelope): ExportLine {
  return envelope === undefined ? { kind: 'unreadable', what: file } : { kind, envelope };
}

async function* hostStatements({ store }: ExportDeps): AsyncGenerator<ExportLine> {
  for await (const { host, kind, publicKey, envelope } of paged(
    async (last: ListedHostStatement | undefined) => await store.hostStatements.page(PAGE, last),
  )) {
    const read = storedEnvelope(envelope);
    if (read === undefined || (kind !== 'permit' && !v.is(PublicKey, publicKey)))
      yield { kind: 'unreadable', what: `${kind === 'permit' ? 'a permit' : 'a signed report'} of ${host}` };
    else if (kind === 'permit') yield { kind, host, envelope: read };
    else yield { kind: 'report', host, of: kind, publicKey, envelope: read };
  }
}

async function* releases({ store, repository }: ExportDeps): AsyncGenerator<ExportLine> {
  for await (const row of paged(async (last: PagedRelease | undefined) => await store.releases.page(repository.id, PAGE, last)))
    yield statementLine('release', { file: `the release ${row.sequence} of ${row.host}`, envelope: storedEnvelope(row.envelope) });
}

/** Newest first, as they are listed. */
async function* revisions({ store, repository }: ExportDeps): AsyncGenerator<ExportLine> {
  for await (const { revision } of paged(
    async (last: { readonly revision: { readonly sequence: number } } | undefined) =>
      await store.revisions.list(repository.id, PAGE, last?.revision.sequence),
  )) {
    const { sequence, sha: commit, state, handoverId } = revision;
    yield { kind: 'revision', sequence, commit, state, isHandover: handoverId !== undefined };
  }
}
