import { access, constants, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError } from '@floe/runtime';
import { lastWords, runChecker } from './program.ts';
import type { Verdict, VerdictDeps } from './types.ts';

/** So many names of one key are tried. */
const MAX_PRINCIPALS = 20;

/** Asks ssh-keygen as git does: first whose key it is, then whether that one may sign for this namespace (`git`: commits) and signed this. */
export async function sshVerdict(
  deps: VerdictDeps,
  allowed: string,
  namespace: string,
  { payload, signature }: { readonly payload: Uint8Array; readonly signature: string },
): Promise<Verdict> {
  try {
    await access(allowed, constants.R_OK);
  } catch (cause) {
    throw new FloeError('SIGNERS_UNCHECKED', `the file of allowed signers ${allowed} cannot be read`, { retryable: true, cause });
  }
  const file = join(deps.dir, 'signature');
  await writeFile(file, signature);
  const found = await runChecker(deps, 'ssh-keygen', ['-Y', 'find-principals', '-f', allowed, '-s', file]);
  const principals = found.exitCode === 0 ? namesIn(found.stdout) : [];
  if (principals.length === 0) return { kind: 'refused', why: `its SSH key is none of the allowed ones, or not at this time (${lastWords(found)})` };
  let why = '';
  for (const who of principals.slice(0, MAX_PRINCIPALS)) {
    const verified = await runChecker(deps, 'ssh-keygen', ['-Y', 'verify', '-n', namespace, '-f', allowed, '-I', who, '-s', file], payload);
    if (verified.exitCode === 0) return { kind: 'signed', who };
    why = lastWords(verified);
  }
  return { kind: 'refused', why: `its SSH signature is not valid (${why})` };
}

/** An entry may have several names, with commas. */
function namesIn(stdout: string): readonly string[] {
  const lines = stdout.split('\n').filter((line) => line !== '');
  return [...new Set(lines.flatMap((line) => [line, ...line.split(',')]))].filter((name) => name !== '' && !name.startsWith('!'));
}
