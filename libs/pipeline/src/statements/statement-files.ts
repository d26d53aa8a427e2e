import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { lstat, mkdir, open, readdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type Envelope, storedEnvelope } from '@floe/protocol';
import { FloeError, writeFileDurably, type Logger } from '@floe/runtime';

/** The largest envelope, with room for white space that an editor may add. */
const MAX_FILE_BYTES = 256 * 1024;
/** File names are limited to 255 bytes; temporary names are longer. */
const MAX_NAME_CHARACTERS = 150;

/** A file name of bounded length, different for each host however long its name is. */
export function statementName(order: number, host: string, kind: '' | '-enrolment' | '-revocation' | '-rename'): string {
  const name = `${String(order).padStart(15, '0')}-${host}`;
  const shown =
    name.length <= MAX_NAME_CHARACTERS
      ? name
      : `${name.slice(0, MAX_NAME_CHARACTERS)}-${createHash('sha256').update(host).digest('hex').slice(0, 16)}`;
  return `${shown}${kind}.json`;
}

export type StatementFile =
  | { readonly kind: 'statement'; readonly envelope: Envelope }
  | { readonly kind: 'absent' }
  /** Something other than a statement is there. */
  | { readonly kind: 'unusable'; readonly why: string; readonly isReadable: boolean };

type FileText =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unusable'; readonly why: string; readonly isReadable: boolean };

/**
 * The text of the file at `path`. Never blocks (a pipe), never follows a link, never reads more than the file may have. The size
 * is that of the opened file, which may have been replaced since it was listed.
 */
async function readBounded(path: string, maxBytes: number): Promise<FileText> {
  try {
    const found = await lstat(path);
    if (!found.isFile()) return { kind: 'unusable', why: 'it is not a file', isReadable: true };
    const file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      if ((await file.stat()).size > maxBytes) return { kind: 'unusable', why: `it has more than ${maxBytes} bytes`, isReadable: true };
      return { kind: 'text', text: await file.readFile('utf8') };
    } finally {
      await file.close();
    }
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    return code === 'ENOENT' ? { kind: 'absent' } : { kind: 'unusable', why: `it cannot be read (${code})`, isReadable: false };
  }
}

/** The text of a file; undefined: there is none. Empty when it cannot be read. */
export async function readText(path: string, maxBytes: number): Promise<string | undefined> {
  const found = await readBounded(path, maxBytes);
  return found.kind === 'absent' ? undefined : found.kind === 'text' ? found.text : '';
}

/** The statement at `path`. */
export async function readStatement(path: string): Promise<StatementFile> {
  const found = await readBounded(path, MAX_FILE_BYTES);
  if (found.kind !== 'text') return found;
  const envelope = storedEnvelope(found.text);
  return envelope !== undefined ? { kind: 'statement', envelope } : { kind: 'unusable', why: 'it is not a statement', isReadable: true };
}

/** The files of a folder of the log; creates the folder when missing. Throws `FloeError('STATEMENT_LOG_UNREADABLE')`. */
export async function listStatements(folder: string): Promise<string[]> {
  try {
    await mkdir(folder, { recursive: true });
    return (await readdir(folder)).filter((name) => name.endsWith('.json')).toSorted();
  } catch (cause) {
    // Without the log a sequence could be used twice, so the server does not start.
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new FloeError(
      'STATEMENT_LOG_UNREADABLE',
      `the statement log ${folder} cannot be read (${code}): it must be a folder that the user of this process may read and write; restore it from the backup if it is missing`,
      { data: { folder }, cause },
    );
  }
}

/** Writes a statement. Throws the retryable `FloeError('STATEMENT_LOG_UNWRITABLE')`. */
export async function writeStatement(path: string, content: Envelope | number): Promise<void> {
  try {
    await writeFileDurably(path, `${JSON.stringify(content)}\n`, 0o644);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown error';
    const todo = code === 'ENOSPC' || code === 'EDQUOT' ? 'its disk is full: free some space' : `${code}: let the user of this process write there`;
    throw new FloeError('STATEMENT_LOG_UNWRITABLE', `the statement ${path} cannot be written (${todo})`, {
      retryable: true,
      data: { path, code },
      cause,
    });
  }
}

/**
 * Moves a file that is not a statement aside, so that the next start does not find it again. A file that could only not be read
 * stays: it may be a statement, and the read error may be temporary.
 */
export async function keepAside(path: string, found: StatementFile & { kind: 'unusable' }, logger: Logger): Promise<void> {
  if (!found.isReadable) return logger.warn('a statement in the log could not be read, and is skipped', { file: path, why: found.why });
  const aside = join(dirname(path), 'aside');
  try {
    await mkdir(aside, { recursive: true });
    await rename(path, join(aside, basename(path)));
    logger.warn('a file in the statement log is not a statement, and was moved aside', { file: path, why: found.why, aside });
  } catch (error) {
    logger.warn('a file in the statement log is not a statement, and is skipped', { file: path, why: found.why, error });
  }
}
