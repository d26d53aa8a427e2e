import { createHash } from 'node:crypto';
import { join } from 'node:path';
import {
  EnrolmentStatement,
  open,
  peek,
  ReleaseStatement,
  RenameStatement,
  RevocationStatement,
  StableStatement,
  type Envelope,
  type TrustedKey,
} from '@floe/protocol';
import { readFileIfPresent, verifySignature, writeFileDurably, type Logger } from '@floe/runtime';
import type { HostName } from '@floe/model';
import * as v from 'valibot';
import { keepAside, listStatements, readStatement, readText, statementName, writeStatement } from './statement-files.ts';

/**
 * The append-only log of statements beside the cache. It survives the loss of the database, which is then rebuilt from it (see
 * rebuild.ts). One file per statement, named so that writing it again writes the same file.
 */
export interface StatementLog {
  /** Stores the one release of a host and a sequence, in the place of another one, or of the same with an earlier end. */
  writeRelease(envelope: Envelope, statement: ReleaseStatement): Promise<void>;
  appendEnrolment(envelope: Envelope, statement: EnrolmentStatement): Promise<void>;
  appendRevocation(envelope: Envelope, statement: RevocationStatement): Promise<void>;
  appendRename(envelope: Envelope, statement: RenameStatement): Promise<void>;
  appendStable(envelope: Envelope, statement: StableStatement): Promise<void>;
  /** The highest number of a statement about stable releases; 0: there is none. */
  highestStable(): Promise<number>;
  /** The statements about stable releases with a higher number than `above` that one of these keys signed. */
  readStable(above: number, trusted: readonly TrustedKey[]): Promise<LoggedStable>;
  /** Stores the highest sequence that was ever used, so that a restored database uses none twice. */
  noteSequence(sequence: number): Promise<void>;
  /** The names of the files with releases. */
  listReleases(): Promise<readonly string[]>;
  /**
   * All statements, or of the releases only those in these files: releases by sequence, enrolments, revocations and renames by time. Files
   * that are not statements are moved aside and counted.
   */
  read(releaseFiles?: readonly string[]): Promise<LoggedStatements>;
  /** The release of a host with this sequence. */
  readRelease(release: { readonly host: HostName; readonly sequence: number }): Promise<LoggedRelease | undefined>;
  /** The text of the checkpoint (checkpoint.ts), as it lies there; undefined: there is none. */
  readCheckpoint(): Promise<string | undefined>;
  writeCheckpoint(text: string): Promise<void>;
}

export interface LoggedRelease {
  readonly envelope: Envelope;
  readonly statement: ReleaseStatement;
}

export interface LoggedStable {
  readonly statements: readonly StableStatement[];
  /** Files that were skipped. */
  readonly unusable: readonly string[];
}

export interface LoggedStatements {
  /** The highest sequence that was stored; 0: none. */
  readonly sequence: number;
  /** Files that were skipped. */
  readonly unusable: readonly string[];
  readonly releases: readonly (LoggedRelease & { readonly file: string })[];
  readonly access: readonly (
    | { readonly kind: 'enrolment'; readonly envelope: Envelope; readonly statement: EnrolmentStatement }
    | { readonly kind: 'revocation'; readonly envelope: Envelope; readonly statement: RevocationStatement }
    | { readonly kind: 'rename'; readonly envelope: Envelope; readonly statement: RenameStatement }
  )[];
}

/** Of 10,000 hosts it has some 5 MB. */
const MAX_CHECKPOINT_BYTES = 64 * 1024 * 1024;

const SequenceText = v.pipe(v.string(), v.trim(), v.regex(/^\d{1,16}$/), v.transform(Number), v.safeInteger());

/** The log in the folder `dir`, which is created when missing. */
export function openStatementLog(dir: string, logger: Logger): StatementLog {
  const releases = join(dir, 'releases');
  const access = join(dir, 'access');
  const stable = join(dir, 'stable');
  const highest = join(dir, 'sequence');
  // Beside the folders: versions that know no checkpoints do not see it.
  const checkpoint = join(dir, 'checkpoint');

  function releasePath({ sequence, host }: Pick<ReleaseStatement, 'sequence' | 'host'>): string {
    return join(releases, statementName(sequence, host, ''));
  }

  async function readSequence(): Promise<number> {
    const parsed = v.safeParse(SequenceText, await readFileIfPresent(highest).catch(() => undefined));
    return parsed.success ? parsed.output : 0;
  }

  /** An existing statement stays; a file that is not one is moved aside. */
  async function append(path: string, envelope: Envelope): Promise<void> {
    const found = await readStatement(path);
    if (found.kind === 'unusable') await keepAside(path, found, logger);
    if (found.kind !== 'statement') await writeStatement(path, envelope);
  }

  /** Reads these statements of a folder, unless `take` returns why one is skipped; returns the skipped files. */
  async function readFiles(
    folder: string,
    names: readonly string[],
    take: (envelope: Envelope, name: string) => string | undefined,
  ): Promise<string[]> {
    const unusable: string[] = [];
    for (const name of names) {
      const path = join(folder, name);
      const found = await readStatement(path);
      if (found.kind === 'absent') continue;
      const refused = found.kind === 'statement' ? take(found.envelope, name) : undefined;
      if (found.kind === 'statement' && refused === undefined) continue;
      // A statement that cannot be parsed may be from a newer version, which must find it here.
      await keepAside(path, found.kind === 'unusable' ? found : { kind: 'unusable', why: refused ?? '', isReadable: false }, logger);
      unusable.push(path);
    }
    return unusable;
  }

  return {
    async writeRelease(envelope, statement) {
      const path = releasePath(statement);
      const found = await readStatement(path);
      if (found.kind === 'unusable') await keepAside(path, found, logger);
      await writeStatement(path, envelope);
    },
    appendEnrolment: async (envelope, { enrolledAt, host }) => await append(join(access, statementName(enrolledAt, host, '-enrolment')), envelope),
    appendRevocation: async (envelope, { revokedAt, host }) => await append(join(access, statementName(revokedAt, host, '-revocation')), envelope),
    appendRename: async (envelope, { renamedAt, host }) => await append(join(access, statementName(renamedAt, host, '-rename')), envelope),
    async appendStable(envelope, { number }) {
      // By their content, too: two servers that use a number at once replace nothing.
      const digest = createHash('sha256').update(envelope.payload).digest('hex').slice(0, 16);
      await append(join(stable, `${numbered(number)}-${digest}.json`), envelope);
    },
    highestStable: async () => (await listStatements(stable)).reduce((most, name) => Math.max(most, numberOf(name)), 0),
    async readStable(above, trusted) {
      const names = await listStatements(stable);
      const statements: LoggedStable['statements'][number][] = [];
      const unusable = await readFiles(
        stable,
        names.filter((name) => numberOf(name) === 0 || numberOf(name) > above),
        (envelope, file) => {
          const opened = open(envelope, 'floe/stable', StableStatement, trusted, verifySignature);
          if (opened.kind === 'opened') statements.push(opened.statement);
          else if (opened.why === 'malformed' || opened.why === 'wrong-type') return opened.message;
          else logger.warn('a statement about stable releases in the statement log is not trusted', { file, why: opened.message });
          return undefined;
        },
      );
      return { statements, unusable };
    },
    async readRelease(release) {
      const found = await readStatement(releasePath(release));
      const opened = found.kind === 'statement' ? peek(found.envelope, ReleaseStatement) : undefined;
      return found.kind === 'statement' && opened?.kind === 'opened' ? { envelope: found.envelope, statement: opened.statement } : undefined;
    },
    async noteSequence(sequence) {
      if (sequence > (await readSequence())) await writeStatement(highest, sequence);
    },
    listReleases: async () => await listStatements(releases),
    readCheckpoint: async () => await readText(checkpoint, MAX_CHECKPOINT_BYTES),
    writeCheckpoint: async (text) => await writeFileDurably(checkpoint, text, 0o644),
    async read(releaseFiles) {
      const loggedReleases: LoggedStatements['releases'][number][] = [];
      const unusable = await readFiles(releases, releaseFiles ?? (await listStatements(releases)), (envelope, file) => {
        const opened = peek(envelope, ReleaseStatement);
        if (opened.kind !== 'opened') return opened.message;
        loggedReleases.push({ envelope, statement: opened.statement, file });
        return undefined;
      });
      const loggedAccess: LoggedStatements['access'][number][] = [];
      const others = await readFiles(access, await listStatements(access), (envelope) => {
        const enrolment = peek(envelope, EnrolmentStatement);
        if (enrolment.kind === 'opened') {
          loggedAccess.push({ kind: 'enrolment', envelope, statement: enrolment.statement });
          return undefined;
        }
        const rename = peek(envelope, RenameStatement);
        if (rename.kind === 'opened') {
          loggedAccess.push({ kind: 'rename', envelope, statement: rename.statement });
          return undefined;
        }
        const revocation = peek(envelope, RevocationStatement);
        if (revocation.kind !== 'opened') return revocation.message;
        loggedAccess.push({ kind: 'revocation', envelope, statement: revocation.statement });
        return undefined;
      });
      return {
        sequence: await readSequence(),
        unusable: [...unusable, ...others],
        // By their content: file names are not trusted.
        releases: loggedReleases.toSorted((one, other) => one.statement.sequence - other.statement.sequence),
        access: loggedAccess.toSorted((one, other) => timeOf(one) - timeOf(other)),
      };
    },
  };
}

function numbered(number: number): string {
  return String(number).padStart(15, '0');
}

/** Of a file that is not named so, 0. */
function numberOf(name: string): number {
  return Number(/^(\d{15,16})-/.exec(name)?.[1] ?? 0);
}

function timeOf(entry: LoggedStatements['access'][number]): number {
  switch (entry.kind) {
    case 'enrolment':
      return entry.statement.enrolledAt;
    case 'revocation':
      return entry.statement.revokedAt;
    case 'rename':
      return entry.statement.renamedAt;
  }
}
