import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Envelope, EnrolmentStatement, peek, ReleaseStatement, RevocationStatement } from '@floe/protocol';
import { FloeError, readFileIfPresent, writeFileDurably, type Logger } from '@floe/runtime';
import * as v from 'valibot';

/**
 * The append-only log of statements beside the cache. It outlives the database: a lost or restored one is rebuilt from
 * it (see rebuild.ts). One file per statement, named so that a listing is in order and a repeat writes the same file.
 */
export interface StatementLog {
  /** Keeps one release per host and sequence: when there is one, it is returned and nothing is written. */
  appendRelease(envelope: Envelope, statement: ReleaseStatement): Promise<LoggedRelease>;
  /** The same statement, signed anew with a later end. */
  renewRelease(envelope: Envelope, statement: ReleaseStatement): Promise<void>;
  appendEnrolment(envelope: Envelope, statement: EnrolmentStatement): Promise<void>;
  appendRevocation(envelope: Envelope, statement: RevocationStatement): Promise<void>;
  /** Keeps the highest sequence that was ever given, so that a restored database gives none twice. */
  noteSequence(sequence: number): Promise<void>;
  /** All of them, releases by sequence, enrolments and revocations by time. Unreadable files are logged and left out. */
  read(): Promise<LoggedStatements>;
}

export interface LoggedRelease {
  readonly envelope: Envelope;
  readonly statement: ReleaseStatement;
}

export interface LoggedStatements {
  /** The highest that was noted; 0 when there is none. */
  readonly sequence: number;
  readonly releases: readonly LoggedRelease[];
  readonly access: readonly (
    | { readonly kind: 'enrolment'; readonly envelope: Envelope; readonly statement: EnrolmentStatement }
    | { readonly kind: 'revocation'; readonly envelope: Envelope; readonly statement: RevocationStatement }
  )[];
}

const SequenceText = v.pipe(v.string(), v.trim(), v.regex(/^\d{1,15}$/), v.transform(Number));

function padded(value: number): string {
  return String(value).padStart(15, '0');
}

/** A log in the folder `dir`, which is made when missing. */
export function openStatementLog(dir: string, logger: Logger): StatementLog {
  const releases = join(dir, 'releases');
  const access = join(dir, 'access');
  const highest = join(dir, 'sequence');

  function releasePath({ sequence, host }: ReleaseStatement): string {
    return join(releases, `${padded(sequence)}-${host}.json`);
  }

  async function readSequence(): Promise<number> {
    const parsed = v.safeParse(SequenceText, await readFileIfPresent(highest));
    return parsed.success ? parsed.output : 0;
  }

  async function append(path: string, envelope: Envelope): Promise<void> {
    if ((await readFileIfPresent(path)) === undefined) await write(path, envelope);
  }

  async function write(path: string, content: Envelope | number): Promise<void> {
    try {
      await writeFileDurably(path, `${JSON.stringify(content)}\n`, 0o644);
    } catch (cause) {
      throw new FloeError('STATEMENT_LOG_UNWRITABLE', `the statement log ${dir} cannot be written: free disk space or mend its permissions`, {
        retryable: true,
        data: { dir },
        cause,
      });
    }
  }

  async function readFolder(folder: string): Promise<{ name: string; envelope: Envelope }[]> {
    await mkdir(folder, { recursive: true });
    const names = (await readdir(folder)).filter((name) => name.endsWith('.json')).toSorted();
    const found: { name: string; envelope: Envelope }[] = [];
    for (const name of names) {
      try {
        found.push({ name, envelope: v.parse(Envelope, JSON.parse(await readFile(join(folder, name), 'utf8'))) });
      } catch (error) {
        logger.warn('a statement in the log is unreadable and left out', { file: join(folder, name), error });
      }
    }
    return found;
  }

  return {
    async appendRelease(envelope, statement) {
      const path = releasePath(statement);
      const existing = await readFileIfPresent(path);
      if (existing !== undefined) {
        const kept = v.parse(Envelope, JSON.parse(existing));
        const opened = peek(kept, ReleaseStatement);
        if (opened.kind === 'opened' && opened.statement.toplevel === statement.toplevel) return { envelope: kept, statement: opened.statement };
      }
      await write(path, envelope);
      return { envelope, statement };
    },
    renewRelease: async (envelope, statement) => await write(releasePath(statement), envelope),
    appendEnrolment: (envelope, statement) => append(join(access, `${padded(statement.enrolledAt)}-${statement.host}-enrolment.json`), envelope),
    appendRevocation: (envelope, statement) => append(join(access, `${padded(statement.revokedAt)}-${statement.host}-revocation.json`), envelope),
    async noteSequence(sequence) {
      if (sequence > (await readSequence())) await write(highest, sequence);
    },
    async read() {
      const loggedReleases: LoggedRelease[] = [];
      for (const { name, envelope } of await readFolder(releases)) {
        const opened = peek(envelope, ReleaseStatement);
        if (opened.kind === 'opened') loggedReleases.push({ envelope, statement: opened.statement });
        else logger.warn('a release in the statement log is left out', { file: name, why: opened.message });
      }
      const loggedAccess: LoggedStatements['access'][number][] = [];
      for (const { name, envelope } of await readFolder(access)) {
        const kind = name.endsWith('-revocation.json') ? 'revocation' : 'enrolment';
        if (kind === 'enrolment') {
          const opened = peek(envelope, EnrolmentStatement);
          if (opened.kind === 'opened') loggedAccess.push({ kind, envelope, statement: opened.statement });
        } else {
          const opened = peek(envelope, RevocationStatement);
          if (opened.kind === 'opened') loggedAccess.push({ kind, envelope, statement: opened.statement });
        }
      }
      return { sequence: await readSequence(), releases: loggedReleases, access: loggedAccess };
    },
  };
}
