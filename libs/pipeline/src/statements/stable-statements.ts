import type { HostName } from '@floe/model';
import { open, ReleaseStatement, sealAsync, type StableStatement, type TrustedKey } from '@floe/protocol';
import { verifySignature, type AsyncSigner, type Clock, type Logger } from '@floe/runtime';
import type { PlainStore, Repository, StableRelease, StorePart } from '@floe/store';
import type { LoggedRenames } from './logged-renames.ts';
import type { LoggedRelease, StatementLog } from './statement-log.ts';

/** Of an envelope, which is bounded (see `Envelope`), with room for the rest of the statement. */
const MAX_HOSTS_CHARACTERS = 40_000;
const MAX_HOSTS = 1_000;
/** So many of a host are tried: the release of the highest may be gone from the log. */
const KEEP_OF_HOST = 3;

/** Batches of what fits into one statement. */
function batchesOf(hosts: readonly StableRelease[]): StableRelease[][] {
  const batches: StableRelease[][] = [];
  let size = Infinity;
  for (const each of hosts) {
    const characters = JSON.stringify(each).length + 1;
    size += characters;
    const last = batches.at(-1);
    if (last !== undefined && size <= MAX_HOSTS_CHARACTERS && last.length < MAX_HOSTS) {
      last.push(each);
      continue;
    }
    batches.push([each]);
    size = characters;
  }
  return batches;
}

/**
 * Signs which releases are stable, and whether the policy is the default one, into the statement log, as far as it does not tell yet. What is told is noted after it is written: a crash in
 * between writes it once more. Resolves to the number of hosts.
 */
export async function logStable(
  deps: {
    readonly store: StorePart<{ stable: 'unlogged' | 'noteLogged'; repositories: 'get' }> & Pick<PlainStore, 'confirmLease'>;
    readonly statements: StatementLog;
    readonly releaseSigner: AsyncSigner;
    readonly clock: Pick<Clock, 'now'>;
  },
  repositoryId: string,
): Promise<number> {
  const { store, statements, releaseSigner, clock } = deps;
  const { number: noted, hosts, policy } = await store.stable.unlogged(repositoryId);
  if (hosts.length === 0 && policy === undefined) return 0;
  const { url: repository, ref } = await store.repositories.get(repositoryId);
  let number = Math.max(noted, await statements.highestStable());
  for (const batch of hosts.length === 0 ? [[]] : batchesOf(hosts)) {
    number += 1;
    const told = { hosts: batch, ...(policy === undefined ? {} : { policy }) };
    const statement: StableStatement = { version: 1, repository, ref, number, ...told, issuedAt: clock.now() };
    const envelope = await sealAsync(releaseSigner, 'floe/stable', statement);
    await store.confirmLease();
    await statements.appendStable(envelope, statement);
    await store.stable.noteLogged(repositoryId, number, batch, policy);
  }
  return hosts.length;
}

export interface StableRestoreDeps {
  readonly store: StorePart<{ stable: 'unlogged' | 'noteLogged' | 'relog' | 'restore' }>;
  readonly statements: StatementLog;
  readonly releaseKeys: readonly TrustedKey[];
  readonly logger: Logger;
  readonly renames: LoggedRenames;
  /** Stores a release of the log. */
  readonly restoreRelease: (release: LoggedRelease) => Promise<void>;
}

/**
 * Takes from the statement log which releases are stable, as far as the database lacks it: of each host the one with the highest sequence that
 * was released to it. What the log does not tell is not stable. Resolves to the files that are no statements.
 */
export async function restoreStable(deps: StableRestoreDeps, repository: Pick<Repository, 'id'>): Promise<readonly string[]> {
  const { store, statements, logger } = deps;
  const { number } = await store.stable.unlogged(repository.id);
  const highest = await statements.highestStable();
  const read = await statements.readStable(number, deps.releaseKeys);
  if (highest < number) await store.stable.relog(repository.id);
  const byHost = candidates(deps, read.statements);
  // The next of a host, where the release of one is not there.
  for (let round = 0; round < KEEP_OF_HOST; round += 1) {
    const told = [...byHost.values()].flatMap((some) => some[round] ?? []);
    const missing = await store.stable.restore(repository.id, told);
    for (const each of missing) await restoreReleaseOf(deps, each);
    const gone = await store.stable.restore(repository.id, missing);
    for (const { host, sequence } of gone) logger.warn('the statement log lacks a release that it calls stable', { host, sequence });
    const left = new Set(gone.map(({ host }) => host));
    for (const host of byHost.keys()) if (!left.has(host)) byHost.delete(host);
  }
  await store.stable.noteLogged(repository.id, highest, [], loggedPolicy(read.statements));
  return read.unusable;
}

/** What the newest statement that tells something of the policy says of it; undefined: none does. */
function loggedPolicy(logged: readonly StableStatement[]): StableStatement['policy'] {
  const telling = logged.filter((each) => each.policy !== undefined);
  return telling.reduce<StableStatement | undefined>((newest, each) => (each.number > (newest?.number ?? -1) ? each : newest), undefined)?.policy;
}

/** The releases that trusted statements call stable: of each host the highest few, the highest first. */
function candidates({ logger, renames }: StableRestoreDeps, logged: readonly StableStatement[]): Map<HostName, readonly StableRelease[]> {
  const byHost = new Map<HostName, readonly StableRelease[]>();
  const numbers = new Set<number>();
  for (const statement of logged) {
    numbers.add(statement.number);
    for (const signed of statement.hosts) {
      const each = { ...signed, host: renames.nameNow(signed.host, signed.sequence) };
      const known = byHost.get(each.host) ?? [];
      if (known.some(({ sequence, toplevel }) => sequence === each.sequence && toplevel === each.toplevel)) continue;
      const sorted = [...known, each].toSorted((one, other) => other.sequence - one.sequence);
      byHost.set(each.host, sorted.slice(0, KEEP_OF_HOST));
    }
  }
  const [lowest, highest] = [Math.min(...numbers), Math.max(...numbers)];
  if (numbers.size > 0 && highest - lowest + 1 > numbers.size)
    logger.warn('the statement log lacks statements about stable releases: hosts may be without a stable one, or with an older one', {
      missing: highest - lowest + 1 - numbers.size,
    });
  return byHost;
}

/** Restores the release that a statement names, if it is in the log, signed for this host, by its name then, and with this system. */
async function restoreReleaseOf(
  { statements, releaseKeys, renames, restoreRelease }: StableRestoreDeps,
  { host, sequence, toplevel }: StableRelease,
): Promise<void> {
  for (const name of renames.namesOf(host)) {
    if (renames.nameNow(name, sequence) !== host) continue;
    const logged = await statements.readRelease({ host: name, sequence });
    if (logged === undefined) continue;
    const opened = open(logged.envelope, 'floe/release', ReleaseStatement, releaseKeys, verifySignature);
    if (opened.kind !== 'opened') continue;
    const { statement } = opened;
    if (statement.purpose !== undefined || statement.host !== name || statement.sequence !== sequence || statement.toplevel !== toplevel) continue;
    await restoreRelease({ envelope: logged.envelope, statement });
    return;
  }
}
