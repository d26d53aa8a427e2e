import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { MAX_WORD_MS, OPERATOR_NAMESPACE, parseWord, type OperatorWord, type SignedWord } from '@floe/protocol';
import type { Exec } from '@floe/runtime';
import { sshVerdict } from '../commit-signers/ssh.ts';

/** Who may take hosts back, by the settings. */
export interface OperatorKeyFile {
  /** A file as OpenSSH has it for `allowed_signers` (ssh-keygen(1)). */
  readonly file: string;
  /** The PATH in which ssh-keygen is. */
  readonly path: string | undefined;
}

export interface OperatorKeys extends OperatorKeyFile {
  /** Starts ssh-keygen. */
  readonly exec: Exec;
}

export type WordVerdict =
  | { readonly kind: 'signed'; readonly word: OperatorWord; readonly who: string }
  | { readonly kind: 'refused'; readonly why: string };

/** Clocks of people's machines. */
const CLOCK_SLACK_MS = 3600_000;

/**
 * Whether one of the keys signed the word, and it is good at `now`. It asks ssh-keygen in a folder of its own, so that no settings or keys of a
 * user or the machine count. Throws a retryable error where it or the file cannot be used: nothing passes unchecked.
 */
export async function judgeWord({ file, ...programs }: OperatorKeys, { statement, signature }: SignedWord, now: number): Promise<WordVerdict> {
  const word = parseWord(statement);
  if (word === undefined) return { kind: 'refused', why: 'it is not of a form that this version knows' };
  const { issuedAt, until } = word;
  if (until <= now) return { kind: 'refused', why: `it was good until ${new Date(until).toISOString()}` };
  if (until - issuedAt > MAX_WORD_MS) return { kind: 'refused', why: 'it is to be good for more than 30 days' };
  if (issuedAt > now + CLOCK_SLACK_MS) return { kind: 'refused', why: `it is of ${new Date(issuedAt).toISOString()}, which is still to come` };
  const dir = await mkdtemp(join(tmpdir(), 'floe-operators-'));
  try {
    const verdict = await sshVerdict({ ...programs, dir }, file, OPERATOR_NAMESPACE, { payload: Buffer.from(statement), signature });
    return verdict.kind === 'signed' ? { kind: 'signed', word, who: verdict.who } : verdict;
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
