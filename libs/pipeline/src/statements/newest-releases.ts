import { open, ReleaseStatement, type TrustedKey } from '@floe/protocol';
import { describeError, verifySignature, type AsyncSigner, type Logger } from '@floe/runtime';
import { isCovered, makeCheckpoint, openCheckpoint, sealCheckpoint, type Checkpoint, type CoveredRelease } from './checkpoint.ts';
import type { LoggedRelease, LoggedStatements, StatementLog } from './statement-log.ts';

/**
 * So many of a host a checkpoint keeps: a database may refuse the newest, which was never handed out, and have the one
 * before it.
 */
const KEEP_OF_HOST = 2;
/** A new checkpoint is worth its reading and writing for so many more files. */
const MIN_NEW_FILES = 500;

/** A release of the log; the statement is read from its file when only a checkpoint told of it. */
export interface NewestRelease extends CoveredRelease {
  readonly logged?: LoggedRelease | undefined;
}

/** The releases of the log by host, newest first. */
export class NewestReleases {
  readonly #byHost = new Map<string, NewestRelease[]>();

  /** Of two of one sequence the first one that is added comes first. */
  add(release: NewestRelease): void {
    const known = this.#byHost.get(release.host) ?? [];
    this.#byHost.set(
      release.host,
      [...known, release].toSorted((one, other) => other.sequence - one.sequence),
    );
  }

  /** Of each host, newest first, whatever repository and branch were called. */
  get all(): readonly (readonly NewestRelease[])[] {
    return [...this.#byHost.values()];
  }

  /** Of all hosts. */
  newest(): NewestRelease | undefined {
    const firsts = this.all.flatMap(([first]) => first ?? []);
    return firsts.toSorted((one, other) => other.sequence - one.sequence)[0];
  }

  highestSequence(): number {
    return [...this.#byHost.values()].reduce((highest, [first]) => Math.max(highest, first?.sequence ?? 0), 0);
  }

  /** The newest of each host in files that a checkpoint of the sequences below `below` covers. */
  covered(below: number): CoveredRelease[] {
    return [...this.#byHost.values()].flatMap((releases) =>
      releases
        .filter(({ file }) => isCovered(file, below))
        .slice(0, KEEP_OF_HOST)
        .map(({ file, repository, ref, host, sequence, commit }) => ({ file, repository, ref, host, sequence, commit })),
    );
  }
}

export interface HistoryDeps {
  readonly statements: StatementLog;
  readonly releaseKeys: readonly TrustedKey[];
  readonly logger: Logger;
}

/** The log as it was read. */
export interface LogHistory {
  readonly logged: LoggedStatements;
  readonly newest: NewestReleases;
  readonly files: readonly string[];
  /** What spared reading the files that it covers. */
  readonly checkpoint: Checkpoint | undefined;
}

/**
 * Reads the log: the releases from the checkpoint on, when there is a good one. A checkpoint that is bad, of another key or of
 * another log is logged, and everything is read: it never decides more than what was in the files that it covers.
 */
export async function readHistory(deps: HistoryDeps, options: { readonly isWhole: boolean }): Promise<LogHistory> {
  const { statements, logger } = deps;
  const files = await statements.listReleases();
  const checkpoint = options.isWhole ? undefined : await goodCheckpoint(deps, files);
  const logged = await statements.read(checkpoint === undefined ? files : files.filter((file) => !isCovered(file, checkpoint.below)));
  const newest = new NewestReleases();
  for (const release of checkpoint?.newest ?? []) newest.add(release);
  for (const release of logged.releases) {
    const trusted = openRelease(deps, release);
    if (trusted !== undefined) newest.add(trusted);
  }
  if (checkpoint !== undefined) logger.debug('the statement log was read from its checkpoint on', { covered: checkpoint.files });
  return { logged, newest, files, checkpoint };
}

/** What was released last; undefined: the log has nothing. */
export async function newestLogged(deps: HistoryDeps): Promise<NewestRelease | undefined> {
  return (await readHistory(deps, { isWhole: false })).newest.newest();
}

/** What was released last for a host, whatever it is called. `issuedAt` undefined: its file is gone, and only a checkpoint tells of it. */
export async function newestLoggedOf(
  deps: HistoryDeps,
  names: readonly string[],
): Promise<{ readonly sequence: number; readonly issuedAt: number | undefined } | undefined> {
  const { newest } = await readHistory(deps, { isWhole: false });
  const firsts = newest.all.flatMap(([first]) => (first !== undefined && names.includes(first.host) ? [first] : []));
  const [release] = firsts.toSorted((one, other) => other.sequence - one.sequence);
  return release && { sequence: release.sequence, issuedAt: (await readCovered(deps, release))?.statement.issuedAt };
}

function openRelease({ releaseKeys, logger }: HistoryDeps, release: LoggedRelease & { readonly file: string }): NewestRelease | undefined {
  const opened = open(release.envelope, 'floe/release', ReleaseStatement, releaseKeys, verifySignature);
  if (opened.kind !== 'opened') {
    logger.warn('a release in the statement log is not trusted', { why: opened.message });
    return undefined;
  }
  // Of the fleet's releases none is a submitted one.
  if (opened.statement.purpose !== undefined) return undefined;
  const { repository, ref, host, sequence, commit } = opened.statement;
  return { file: release.file, repository, ref, host, sequence, commit, logged: { envelope: release.envelope, statement: opened.statement } };
}

async function goodCheckpoint({ statements, releaseKeys, logger }: HistoryDeps, files: readonly string[]): Promise<Checkpoint | undefined> {
  const text = await statements.readCheckpoint();
  if (text === undefined) return undefined;
  const opened = openCheckpoint(text, releaseKeys, files);
  if (opened.kind === 'usable') return opened.checkpoint;
  logger.warn('the checkpoint of the statement log cannot be used: the whole log is read', { why: opened.why });
  return undefined;
}

/** The statement of a release that a checkpoint told of; undefined when its file does not hold it any more. */
export async function readCovered(deps: HistoryDeps, release: NewestRelease): Promise<LoggedRelease | undefined> {
  if (release.logged !== undefined) return release.logged;
  const read = await deps.statements.read([release.file]);
  const [found] = read.releases;
  const opened = found === undefined ? undefined : openRelease(deps, found);
  const isIt = (['repository', 'ref', 'host', 'sequence', 'commit'] as const).every((key) => opened?.[key] === release[key]);
  return isIt ? opened?.logged : undefined;
}

/**
 * Writes a checkpoint of all but the newest sequence, whose statements may still be coming, when enough are new. Not of a log
 * with files that are no statements: every start is to name them. A checkpoint only saves time, so a failure is logged.
 */
export async function writeCheckpoint(deps: HistoryDeps, signer: AsyncSigner, history: LogHistory, minNewFiles = MIN_NEW_FILES): Promise<void> {
  const { newest, files, logged, checkpoint } = history;
  const below = newest.highestSequence();
  const made = makeCheckpoint(files, below, newest.covered(below));
  if (logged.unusable.length > 0 || made.files - (checkpoint?.files ?? 0) < minNewFiles) return;
  try {
    await deps.statements.writeCheckpoint(await sealCheckpoint(signer, made));
    deps.logger.info('the statement log has a new checkpoint', { files: made.files, below });
  } catch (error) {
    deps.logger.warn('the checkpoint of the statement log was not written; the next start reads more of it', { error: describeError(error) });
  }
}

/** Writes a checkpoint when the log has grown by enough since the last one. */
export async function keepCheckpoint(deps: HistoryDeps, signer: AsyncSigner): Promise<void> {
  const files = await deps.statements.listReleases();
  const checkpoint = await goodCheckpoint(deps, files);
  const fresh = files.filter((file) => checkpoint === undefined || !isCovered(file, checkpoint.below));
  if (fresh.length < MIN_NEW_FILES) return;
  await writeCheckpoint(deps, signer, await readHistory(deps, { isWhole: false }));
}
