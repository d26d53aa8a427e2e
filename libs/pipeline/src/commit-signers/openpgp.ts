import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { FloeError } from '@floe/runtime';
import { lastWords, runChecker } from './program.ts';
import type { Verdict, VerdictDeps } from './types.ts';

/** Nothing of the user's, no agent, no network. */
const APART = ['--no-options', '--batch', '--no-tty', '--no-autostart', '--no-permission-warning', '--no-auto-key-retrieve', '--no-auto-key-locate'];
/** What gpg says of a signature that must not count, also beside a good one. */
const NOT_GOOD = /^\[GNUPG:\] (?:BADSIG|ERRSIG|EXPSIG|EXPKEYSIG|REVKEYSIG|NO_PUBKEY|NODATA|UNEXPECTED)\b/m;

/** Asks gpg with a keyring of the allowed keys alone, made at the first commit that needs it. */
export function openPgpVerdict(
  deps: VerdictDeps,
  keysFile: string,
): (commit: { readonly payload: Uint8Array; readonly signature: string }) => Promise<Verdict> {
  const home = join(deps.dir, 'gpg');
  let imported: Promise<void> | undefined;
  async function importKeys(): Promise<void> {
    await mkdir(home, { mode: 0o700 });
    const { stdout, stderr } = await runChecker(deps, 'gpg', ['--homedir', home, ...APART, '--status-fd', '1', '--import', keysFile]);
    // Some of the keys may be ones that this gpg does not know: others count still.
    if (!/^\[GNUPG:\] IMPORT_OK\b/m.test(stdout))
      throw new FloeError('SIGNERS_UNCHECKED', `the file of allowed OpenPGP keys ${keysFile} cannot be used: ${lastWords({ stdout: '', stderr })}`, {
        retryable: true,
      });
  }
  return async ({ payload, signature }) => {
    await (imported ??= importKeys());
    const [signatureFile, payloadFile] = [join(deps.dir, 'signature.asc'), join(deps.dir, 'payload')];
    await writeFile(signatureFile, signature);
    await writeFile(payloadFile, payload);
    const args = ['--homedir', home, ...APART, '--trust-model', 'always', '--status-fd', '1', '--verify', signatureFile, payloadFile];
    const { exitCode, stdout, stderr } = await runChecker(deps, 'gpg', args);
    const good = [...stdout.matchAll(/^\[GNUPG:\] GOODSIG /gm)];
    // Of the key that a person has: the one that signed may be a part of it.
    const who = /^\[GNUPG:\] VALIDSIG [0-9A-F]+ .*\b(?<primary>[0-9A-F]{40,64})$/m.exec(stdout)?.groups?.['primary'];
    if (exitCode === 0 && good.length === 1 && !NOT_GOOD.test(stdout) && who !== undefined) return { kind: 'signed', who };
    return { kind: 'refused', why: `its OpenPGP signature is not valid, or of no allowed key (${lastWords({ stdout: '', stderr })})` };
  };
}
