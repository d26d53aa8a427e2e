import { isTerminalAgentState, type HostName } from '@floe/model';
import type { Facts, ReleaseFact, ReportFact } from './facts.ts';
import type { Findings } from './findings.ts';
import type { PinnedKeys } from './pinned-keys.ts';

/** A revocation is signed before the server's database has it, and a host may be revoked while the export is made. */
const REVOKING_MS = 60_000;

/** Whether what was signed about hosts fits together: releases, what hosts signed about them, and what let hosts go back. */
export function judgeFleet(facts: Facts, keys: PinnedKeys, findings: Findings): void {
  judgeStable(facts, findings);
  for (const [host, { line, desired, publicKey, isRevoked }] of facts.hosts) {
    if (desired !== null && facts.releases.get(host)?.get(desired.sequence)?.toplevel !== desired.toplevel && !isAnyRelease(facts, desired))
      findings.bend(
        line,
        `the server says that ${host} should run ${desired.toplevel} as the release ${desired.sequence}, and there is no such release`,
      );
    if (publicKey !== null && !isEnrolled(facts, keys, host, publicKey))
      findings.bend(line, `the server says that ${host} has the key ${publicKey}, which no signed enrolment gives it`);
    const revoked = publicKey === null || isRevoked ? undefined : facts.revoked.get(publicKey);
    if (revoked !== undefined && revoked.at < facts.at - REVOKING_MS)
      findings.bend(line, `the server says that ${host} has the key ${publicKey}, which was revoked (line ${revoked.line})`);
  }
  for (const [host, permits] of facts.permits)
    for (const { line, listedFor } of permits)
      if (!isSameMachine(facts, host, listedFor)) findings.bend(line, `this permit of ${listedFor} is ${host}'s`);
  for (const [host, reports] of Map.groupBy(facts.reports, (report) => report.host)) judgeReports(host, reports, facts, keys, findings);
}

function judgeStable({ stable, stableNumbers, releases, releasesFrom }: Facts, findings: Findings): void {
  // A builder of its own process keeps these in its own log.
  if (releasesFrom === 'database') return;
  for (const [host, { line, sequence, toplevel }] of stable) {
    const release = releases.get(host)?.get(sequence);
    if (release === undefined) findings.bend(line, `the release ${sequence} of ${host} is called stable, and is missing`);
    else if (release.toplevel !== toplevel)
      findings.bend(line, `the release ${sequence} of ${host} is called stable as another system (line ${release.line})`);
  }
  const highest = [...stableNumbers].reduce((most, each) => Math.max(most, each), 0);
  const missing = highest - stableNumbers.size;
  if (missing > 0) findings.bend(undefined, `statements about stable releases are missing: ${missing} of ${highest}, as they are numbered`);
}

/** Of whatever name: a host that was renamed keeps what it was told by its earlier one. */
function isAnyRelease({ releases }: Facts, { sequence, toplevel }: { readonly sequence: number; readonly toplevel: string }): boolean {
  for (const ofHost of releases.values()) if (ofHost.get(sequence)?.toplevel === toplevel) return true;
  return false;
}

/** One name, or two of which a signed rename says that they are one machine's. */
function isSameMachine({ enrolled }: Facts, one: HostName, other: HostName): boolean {
  return one === other || [...enrolled.values()].some((names) => names.has(one) && names.has(other));
}

function isEnrolled({ enrolled }: Facts, { hosts }: PinnedKeys, host: HostName, publicKey: string): boolean {
  const pinned = hosts.get(host);
  return pinned === undefined ? enrolled.get(publicKey)?.has(host) === true : pinned.has(publicKey);
}

function judgeReports(host: HostName, reports: readonly ReportFact[], facts: Facts, keys: PinnedKeys, findings: Findings): void {
  const newest = reports.filter(({ of }) => of === 'newest');
  const [first, second] = newest;
  if (second !== undefined) findings.bend(second.line, `there are two newest reports of ${host}`);
  let before: ReportFact | undefined;
  for (const report of reports) {
    const { line, publicKey, calledAs, seq, epoch } = report;
    // The names that the machine of this key has and had.
    const names = new Set([host, ...(facts.enrolled.get(publicKey) ?? [])]);
    if (!isEnrolled(facts, keys, host, publicKey))
      findings.bend(line, `this report of ${host} is signed by the key ${publicKey}, which no signed enrolment gives it`);
    if (!names.has(calledAs)) findings.bend(line, `this report of ${host} is ${calledAs}'s`);
    judgeReport(report, names, facts, findings);
    if (report.of === 'newest') continue;
    if (before !== undefined && before.epoch >= epoch)
      findings.bend(line, `this report of ${host} is about the directive ${epoch}, and comes after one about ${before.epoch}`);
    if (before !== undefined && before.publicKey === publicKey && before.seq >= seq)
      findings.bend(
        line,
        `this report of ${host} has the number ${seq}, and is older than that of the directive before (line ${before.line}): it was put in another one's place`,
      );
    if (first !== undefined && first.publicKey === publicKey && first.seq < seq)
      findings.bend(
        first.line,
        `the newest report of ${host} has the number ${first.seq}, and line ${line} has ${seq}: an older one was put in its place`,
      );
    before = report;
  }
}

function judgeReport(report: ReportFact, names: ReadonlySet<HostName>, facts: Facts, findings: Findings): void {
  const { line, host, release, state, current, isTrial, isOverridden, floor } = report;
  const own = [...names].flatMap((name) => [...(facts.releases.get(name) ?? new Map<number, ReleaseFact>())]);
  if (release !== null && !isTrial) {
    const signed = own.find(([sequence, { toplevel }]) => sequence === release.sequence && toplevel === release.toplevel)?.[1];
    if (signed === undefined) {
      const isOld = facts.releasesFrom === 'database' && report.of === 'end';
      if (isOld) findings.note(line, `${host} signed that it had the release ${release.sequence}, which the server has no more`);
      else findings.bend(line, `${host} signed that it has ${release.toplevel} as the release ${release.sequence}, and no such release is here`);
    } else if (signed.commit !== release.commit)
      findings.bend(
        line,
        `${host} signed that its release ${release.sequence} is of ${release.commit}; it is of ${signed.commit} (line ${signed.line})`,
      );
    if (release.sequence < floor) judgePermit(report, release, names, facts, findings);
  }
  if (report.of !== 'newest') return;
  if (isOverridden) return findings.note(line, `${host} runs ${current ?? 'nothing that it knows'}: a user of it chose that`);
  if (isTrial) return findings.note(line, `${host} is on trial of ${release?.toplevel ?? 'a system'}`);
  if (!isTerminalAgentState(state))
    return findings.note(
      line,
      release === null ? `${host} follows no release yet` : `${host} is changing to the release ${release.sequence} (${state})`,
    );
  if (current !== null && !own.some(([, { toplevel }]) => toplevel === current) && state === 'SUCCEEDED')
    return findings.bend(line, `${host} signed that it runs ${current}, which was never released for it`);
  judgeBehind(report, own, facts, findings);
}

function judgePermit(
  { line, host, floor }: ReportFact,
  { sequence, toplevel }: NonNullable<ReportFact['release']>,
  names: ReadonlySet<HostName>,
  { permits }: Facts,
  findings: Findings,
): void {
  const permit = [...names]
    .flatMap((name) => permits.get(name) ?? [])
    .find((each) => each.sequence === sequence && each.toplevel === toplevel && each.floor >= floor);
  if (permit === undefined) {
    findings.bend(line, `${host} signed that it is on the release ${sequence}, below ${floor}, and no permit lets it`);
    return;
  }
  const { line: at, actor, reason, authorisedBy } = permit;
  const by = authorisedBy === undefined ? actor : `${actor}, signed by ${authorisedBy}`;
  findings.note(line, `${host} is on the release ${sequence}, below ${floor}, by the permit on line ${at}: ${by}: ${reason}`);
}

function judgeBehind(
  { line, host, state, release, current }: ReportFact,
  own: readonly (readonly [number, ReleaseFact])[],
  { hosts }: Facts,
  findings: Findings,
): void {
  const newest = own.reduce<readonly [number, ReleaseFact] | undefined>(
    (most, each) => (each[1].isSubmitted || (most?.[0] ?? -1) >= each[0] ? most : each),
    undefined,
  );
  if (newest === undefined || newest[1].toplevel === current) return;
  const desired = hosts.get(host)?.desired;
  const told =
    desired === undefined || desired === null
      ? 'the server does not say what it should run'
      : desired.sequence === newest[0]
        ? 'the server says it should run the newest'
        : `the server says it should run the release ${desired.sequence}`;
  findings.note(
    line,
    `${host} does not run its newest release ${newest[0]} (${release === null ? 'no release' : `release ${release.sequence}`}, ${state}); ${told}`,
  );
}
