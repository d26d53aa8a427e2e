import {
  EnrolmentStatement,
  FreshnessStatement,
  HostReport,
  open,
  PermitStatement,
  ReleaseStatement,
  RenameStatement,
  RevocationStatement,
  StableStatement,
  type Envelope,
  type EnvelopeType,
  type ExportLineOf,
  type TrustedKey,
} from '@floe/protocol';
import { verifySignature } from '@floe/runtime';
import type { HostName } from '@floe/model';
import type * as v from 'valibot';
import { reportFact, type Facts, type ReleaseFact } from './facts.ts';
import type { Findings } from './findings.ts';
import type { PinnedKeys } from './pinned-keys.ts';

/** Longer than any directive is good for, also where a clock was a week behind. */
const MAX_PERMIT_MS = 14 * 24 * 3600_000;

interface Where {
  readonly line: number;
  readonly keys: PinnedKeys;
  readonly facts: Facts;
  readonly findings: Findings;
}

/** The statement, if a pinned key signed it; what is wrong with it is named. */
function opened<Schema extends v.GenericSchema>(
  envelope: Envelope,
  type: EnvelopeType,
  schema: Schema,
  { line, findings }: Where,
  trusted: readonly TrustedKey[],
  what: string,
): v.InferOutput<Schema> | undefined {
  const result = open(envelope, type, schema, trusted, verifySignature);
  if (result.kind === 'opened') return result.statement;
  findings.bend(line, `${what} is not what a pinned key signed: ${result.message}`);
  return undefined;
}

export function readRelease({ envelope }: ExportLineOf<'release'>, where: Where): void {
  const { line, keys, facts, findings } = where;
  const said = opened(envelope, 'floe/release', ReleaseStatement, where, keys.release, 'this release');
  if (said === undefined) return;
  const { repository, ref, host, sequence, toplevel, commit, purpose, issuedAt, expiresAt } = said;
  if (purpose === 'test') return findings.bend(line, `this release of ${host} is a trial, which is never in the log`);
  if (issuedAt > expiresAt) findings.bend(line, `the release ${sequence} of ${host} ends before it was issued`);
  const ofHost = facts.releases.get(host) ?? new Map<number, ReleaseFact>();
  const before = ofHost.get(sequence);
  if (before !== undefined) return findings.bend(line, `the release ${sequence} of ${host} is here a second time (first on line ${before.line})`);
  facts.keep();
  const isSubmitted = purpose === 'submitted';
  facts.releases.set(host, ofHost.set(sequence, { line, toplevel, commit, isSubmitted }));
  const known = facts.commits.get(sequence);
  if (known === undefined) facts.commits.set(sequence, { line, commit, isSubmitted, repository, ref });
  else if (known.commit !== commit)
    findings.bend(line, `the release ${sequence} of ${host} is of the commit ${commit}, and line ${known.line} of ${known.commit}`);
  const revision = facts.revisions.get(sequence);
  if (revision !== undefined && revision.commit !== commit && !isSubmitted)
    findings.bend(
      line,
      `the release ${sequence} of ${host} is of the commit ${commit}; the commit taken in was ${revision.commit} (line ${revision.line})`,
    );
}

export function readAccess({ envelope }: ExportLineOf<'access'>, where: Where): void {
  const { line, keys, facts, findings } = where;
  // Servers from before had one key for both.
  const trusted = [...keys.server, ...keys.release];
  const enrol = (publicKey: string, ...hosts: readonly HostName[]): void => {
    facts.keep();
    const names = facts.enrolled.get(publicKey) ?? new Set();
    for (const host of hosts) names.add(host);
    facts.enrolled.set(publicKey, names);
    facts.revoked.delete(publicKey);
  };
  if (envelope.type === 'floe/enrolment') {
    const said = opened(envelope, 'floe/enrolment', EnrolmentStatement, where, trusted, 'this enrolment');
    if (said !== undefined) enrol(said.publicKey, said.host);
  } else if (envelope.type === 'floe/rename') {
    const said = opened(envelope, 'floe/rename', RenameStatement, where, trusted, 'this rename');
    if (said !== undefined) enrol(said.publicKey, said.host, said.formerHost);
  } else if (envelope.type === 'floe/revocation') {
    const said = opened(envelope, 'floe/revocation', RevocationStatement, where, trusted, 'this revocation');
    if (said === undefined) return;
    facts.keep();
    facts.revoked.set(said.publicKey, { line, at: said.revokedAt });
  } else findings.bend(line, `a ${envelope.type} is among the enrolments`);
}

export function readStable({ envelope }: ExportLineOf<'stable'>, where: Where): void {
  const { line, keys, facts, findings } = where;
  const said = opened(envelope, 'floe/stable', StableStatement, where, keys.release, 'this statement about stable releases');
  if (said === undefined) return;
  facts.keep();
  facts.stableNumbers.add(said.number);
  for (const { host, sequence, toplevel } of said.hosts) {
    const before = facts.stable.get(host);
    if (before === undefined) facts.keep();
    if (before !== undefined && before.sequence === sequence && before.toplevel !== toplevel)
      findings.bend(line, `the stable release ${sequence} of ${host} is another system than on line ${before.line}`);
    if (before === undefined || before.sequence < sequence) facts.stable.set(host, { line, sequence, toplevel });
  }
}

export function readFreshness({ envelope }: ExportLineOf<'freshness'>, where: Where): void {
  opened(envelope, 'floe/freshness', FreshnessStatement, where, where.keys.release, 'the statement of what is newest');
}

export function readPermit({ host, envelope }: ExportLineOf<'permit'>, where: Where): void {
  const { line, keys, facts, findings } = where;
  const said = opened(envelope, 'floe/permit', PermitStatement, where, keys.release, `this permit of ${host}`);
  if (said === undefined) return;
  const { sequence, toplevel, floor, actor, reason, authorisedBy, issuedAt, expiresAt } = said;
  if (sequence > floor) findings.bend(line, `this permit lets ${host} go down to ${sequence}, which is above ${floor}`);
  if (expiresAt <= issuedAt || expiresAt - issuedAt > MAX_PERMIT_MS)
    findings.bend(line, `this permit of ${host} is good for longer than one directive`);
  facts.keep();
  const permits = facts.permits.get(said.host) ?? [];
  permits.push({ line, listedFor: host, sequence, toplevel, floor, actor, reason, authorisedBy });
  facts.permits.set(said.host, permits);
}

export function readReport({ host, of, publicKey, envelope }: ExportLineOf<'report'>, where: Where): void {
  const { line, keys, facts } = where;
  const pinned = keys.hosts.get(host);
  // Of a host whose key is pinned no other one counts, whatever the server says.
  const trusted = [...(pinned ?? [publicKey])].map((key) => ({ keyId: envelope.keyId, publicKey: key }));
  const said = opened(envelope, 'floe/report', HostReport, where, trusted, `this report of ${host}`);
  if (said === undefined) return;
  facts.keep();
  facts.reports.push(reportFact(line, host, of, publicKey, said));
}
