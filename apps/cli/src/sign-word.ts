import { randomUUID } from 'node:crypto';
import { MAX_WORD_MS, OPERATOR_NAMESPACE, wordText, type SignedWord, type WayBack } from '@floe/protocol';
import { FloeError } from '@floe/runtime';
import type { Cli } from './cli.ts';

/** A person looks for a token, and touches it. */
const PATIENCE_MS = 120_000;
/** Where a pin has no end: a machine that is away for longer needs another word. */
const DEFAULT_WORD_MS = 7 * 24 * 3600 * 1000;

/** Signs on this machine that the host goes back, and shows what it signs: `key` is a private key, or the public part of one in an agent or a device. */
export async function signWord(
  cli: Cli,
  key: string,
  { needsWord: _needsWord, ...about }: WayBack,
  { reason, until }: { readonly reason: string; readonly until: number | undefined },
): Promise<SignedWord> {
  const { clock, exec, env, signal } = cli.deps;
  const issuedAt = clock.now();
  const ends = Math.min(until ?? issuedAt + DEFAULT_WORD_MS, issuedAt + MAX_WORD_MS);
  const statement = wordText({ version: 1, ...about, reason, issuedAt, until: ends, nonce: randomUUID() });
  const { host, commit, sequence, floor, toplevel } = about;
  cli.out.note(
    `Signing with ${key}: ${host} may go back from #${floor} to #${sequence}, commit ${commit}, ${toplevel}, by ${new Date(ends).toISOString()}.`,
  );
  const signed = await exec('ssh-keygen', ['-q', '-Y', 'sign', '-n', OPERATOR_NAMESPACE, '-f', key], {
    env,
    signal,
    timeoutMs: PATIENCE_MS,
    stdin: statement,
    // It asks for a touch.
    onStderrLine: (line) => cli.out.note(line),
  });
  if (signed.exitCode !== 0)
    throw new FloeError(
      'NOT_SIGNED',
      `ssh-keygen did not sign with ${key}: for a key with a passphrase run ssh-add ${key} first, and name ${key}.pub, its public part`,
    );
  return { statement, signature: signed.stdout };
}
