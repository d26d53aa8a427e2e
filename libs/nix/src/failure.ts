import { FloeError, type ExecResult } from '@floe/runtime';
import { probeRoom, type Health } from './health.ts';
import type { FailureLog, NixMessage, Place } from './internal-json.ts';

export type NixErrorCode =
  | 'NIX_FAILED'
  | 'NIX_ANSWER_UNEXPECTED'
  | 'NIX_STOPPED'
  | 'NIX_STORE_AWAY'
  | 'FLAKE_INVALID'
  | 'FLAKE_LOCK_INVALID'
  | 'FLAKE_HAS_NO_HOSTS'
  | 'POLICY_INVALID'
  | 'INPUT_AWAY'
  | 'INPUT_REFUSED'
  | 'INPUT_TOKEN_INVALID'
  | 'CACHE_PATH_UNSIGNED'
  | 'STORE_PATH_NOT_AVAILABLE'
  | 'STORE_PATH_UNTRUSTED'
  | 'CLOSURE_NOT_HERE'
  | 'DISK_FULL';
export type NixError = FloeError<NixErrorCode>;

/** A flake's source in the store, or another store path's hash: `/nix/store/<32>-source/hosts/a.nix` → `hosts/a.nix`. */
const SOURCE_PREFIX = /\/nix\/store\/[0-9a-z]{32}-source\//g;
const STORE_PREFIX = /\/nix\/store\/[0-9a-z]{32}-/g;
const GIT_URL = /git\+file:\/\/[^'"\s]*/g;
/** A message that only follows from another failure. */
const FOLLOWS = /^\d+ dependencies of derivation '.*' failed to build$/;
const MAX_ERROR_CHARACTERS = 4_000;

/** Control characters and characters that change the reading order, except line ends and tabs. */
// oxlint-disable-next-line no-control-regex -- the expression looks for these
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Shows repository paths instead of store paths and names instead of hashes, without control characters. */
export function cleanText(text: string): string {
  return text.replace(CONTROLS, '\u{fffd}').replace(GIT_URL, 'the flake').replace(SOURCE_PREFIX, '').replace(STORE_PREFIX, '').trim();
}

/** Describes a location for people. */
export type DescribePlace = (place: Place) => string;

function sentence(message: NixMessage, describe: DescribePlace): string {
  const text = cleanText(message.text);
  return message.place === undefined ? text : `${text} (${describe(message.place)})`;
}

export function describePlace({ file, line, column }: Place): string {
  return `${cleanText(file)}:${line}:${column}`;
}

/**
 * What went wrong, for people: the cause first, then the end of the build's log. Nix reports the failed derivation
 * before those that need it, and an evaluation's error as one message. Nothing is decided by it.
 */
export function explain(log: FailureLog, result: ExecResult, describe: DescribePlace = describePlace): string {
  const useful = log.messages.map((message) => sentence(message, describe)).filter((text) => text !== '' && !FOLLOWS.test(text));
  const parts = [...new Set(useful)];
  if (parts.length === 0) parts.push(...log.plainLines.slice(-3).map((line) => cleanText(line).replace(/^error:\s*/, '')));
  if (parts.length === 0)
    parts.push(`Nix ended with ${result.end === 'exited' ? `status ${result.exitCode}` : (result.signal ?? result.end)} without a message`);
  if (log.buildLines.length > 0) parts.push(`the end of its log:\n${log.buildLines.map(cleanText).join('\n')}`);
  return parts.join('\n').slice(0, MAX_ERROR_CHARACTERS);
}

/** The error for a command that failed for a reason outside of what it worked on; worth another try. */
export function commandFailed(what: string, log: FailureLog, result: ExecResult): NixError {
  if (result.end === 'aborted') return stopped(what);
  return new FloeError('NIX_FAILED', `${what}: ${explain(log, result)}`, { retryable: true });
}

/** As {@link commandFailed}, after a look at the disks that it writes to. */
export async function failureOnDisks(folders: readonly string[], what: string, log: FailureLog, result: ExecResult): Promise<NixError> {
  const room: Health = result.end === 'aborted' ? { kind: 'well' } : await probeRoom(folders);
  return room.kind === 'disk-full' ? serverUnwell(what, room, explain(log, result)) : commandFailed(what, log, result);
}

export function stopped(what: string): NixError {
  return new FloeError('NIX_STOPPED', `${what} was stopped`, { retryable: true });
}

/** The error for a server on which Nix cannot work for now: Floe retries. */
export function serverUnwell(what: string, health: Exclude<Health, { kind: 'well' }>, reason: string): NixError {
  if (health.kind === 'disk-full') {
    const free = `${Math.floor(health.freeBytes / 1024 ** 2)} MiB`;
    const advice = `the disk of ${health.folder} is full (${free} are free); free some space; Floe continues then`;
    return new FloeError('DISK_FULL', `${what}: ${advice} (${reason})`, { retryable: true });
  }
  const advice = "this server's Nix store accepts no writes: check that its disk is writable and that its daemon runs";
  return new FloeError('NIX_STORE_AWAY', `${what}: ${advice} (${reason})`, { retryable: true });
}
