import { FloeError, type ExecResult } from '@floe/runtime';
import type { FailureLog, NixMessage } from './internal-json.ts';

export type NixErrorCode =
  | 'NIX_FAILED'
  | 'NIX_ANSWER_UNEXPECTED'
  | 'NIX_STOPPED'
  | 'FLAKE_INVALID'
  | 'FLAKE_HAS_NO_HOSTS'
  | 'EVALUATION_FAILED'
  | 'EVALUATION_TIMED_OUT'
  | 'EVALUATION_OUT_OF_MEMORY'
  | 'BUILD_FAILED'
  | 'BUILD_NOT_STARTED'
  | 'BUILD_TIMED_OUT'
  | 'CACHE_PATH_UNSIGNED'
  | 'STORE_PATH_NOT_AVAILABLE'
  | 'STORE_PATH_UNTRUSTED'
  | 'CLOSURE_NOT_HERE'
  | 'DISK_FULL';
export type NixError = FloeError<NixErrorCode>;

/** What Nix calls a hint for its own command line says nothing to people who read a web page. */
const NOISE = [/^\(use '--show-trace'/, /^\d+ dependencies of derivation '.*' failed to build$/];
/** A flake's source in the store, or another store path's hash: `/nix/store/<32>-source/hosts/a.nix` → `hosts/a.nix`. */
const SOURCE_PREFIX = /\/nix\/store\/[0-9a-z]{32}-source\//g;
const STORE_PREFIX = /\/nix\/store\/[0-9a-z]{32}-/g;
const GIT_URL = /git\+file:\/\/[^'"\s]*/g;
const MAX_ERROR_CHARACTERS = 4_000;

/** Repository paths instead of store paths, names instead of hashes. */
export function cleanText(text: string): string {
  return text.replace(GIT_URL, 'the flake').replace(SOURCE_PREFIX, '').replace(STORE_PREFIX, '').trim();
}

function sentence(message: NixMessage): string {
  const text = cleanText(message.text);
  if (message.file === undefined) return text;
  const place = [cleanText(message.file), message.line, message.column].filter((part) => part !== undefined).join(':');
  return `${text} (${place})`;
}

/**
 * What went wrong, for people: the cause first, then the end of the build's log. Nix reports the failed derivation
 * before those that need it, and an evaluation's error as one message.
 */
export function explain(log: FailureLog, result: ExecResult): string {
  const useful = log.messages.map(sentence).filter((text) => text !== '' && !NOISE.some((noise) => noise.test(text)));
  const parts = [...new Set(useful)];
  if (parts.length === 0) parts.push(...log.plainLines.slice(-3).map((line) => cleanText(line).replace(/^error:\s*/, '')));
  if (parts.length === 0)
    parts.push(`Nix ended with ${result.end === 'exited' ? `status ${result.exitCode}` : (result.signal ?? result.end)} and said nothing`);
  if (log.buildLines.length > 0) parts.push(`the end of its log:\n${log.buildLines.map(cleanText).join('\n')}`);
  return parts.join('\n').slice(0, MAX_ERROR_CHARACTERS);
}

/** True when the messages name ENOSPC or EDQUOT; Nix passes on the system's own words for them. */
export function isDiskFull(log: FailureLog): boolean {
  return [...log.messages.map(({ text }) => text), ...log.plainLines].some((text) =>
    /No space left on device|Disk quota exceeded|database or disk is full/i.test(text),
  );
}

/** True when Nix itself cannot work for now: the disk, its daemon or its database. Says nothing about what it worked on. */
export function isNixUnwell(log: FailureLog): boolean {
  return (
    isDiskFull(log) || log.messages.some(({ text }) => /cannot connect to (?:socket|daemon)|opening a connection to remote store|SQLite/i.test(text))
  );
}

/** The error for a command that failed for a reason outside of what it worked on; worth another try. */
export function commandFailed(what: string, log: FailureLog, result: ExecResult): NixError {
  if (result.end === 'aborted') return new FloeError('NIX_STOPPED', `${what} was stopped`, { retryable: true });
  const reason = explain(log, result);
  if (isDiskFull(log))
    return new FloeError('DISK_FULL', `${what}: the disk is full; make room and it goes on by itself (${reason})`, { retryable: true });
  return new FloeError('NIX_FAILED', `${what}: ${reason}`, { retryable: true });
}
