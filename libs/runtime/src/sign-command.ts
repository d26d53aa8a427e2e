import { FloeError } from './errors.ts';
import type { Exec, ExecResult } from './exec.ts';
import { Gate } from './limits.ts';
import { verifySignature, type AsyncSigner } from './signing.ts';

/** A program that makes signatures: of a device (HSM, token) or a service (KMS). */
export interface SignCommand {
  /** Its absolute path, and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** Of the key that it signs with: 32 raw bytes, base64. */
  readonly publicKey: string;
}

export interface SignCommandDeps {
  readonly exec: Exec;
  /** The whole environment of the program. */
  readonly env: NodeJS.ProcessEnv;
  /** Default: 60 s, for a service that is slow to answer. */
  readonly timeoutMs?: number;
}

const TIMEOUT_MS = 60_000;
/** A device often takes one at a time. For a service that answers slowly, a fleet's signatures take a quarter of the time with this many. */
const AT_ONCE = 4;
const SIGNATURE_BYTES = 64;
/** The signature in base64, with white space. */
const MAX_ANSWER_BYTES = 4096;
/** Of a service's client in Python, several times over. */
const MAX_MEMORY_BYTES = 1024 ** 3;
const MAX_PROCESSES = 256;
const MAX_SHOWN_CHARACTERS = 300;

/**
 * A signer that runs a command for each signature: the bytes on its stdin, the signature on its stdout, as 64 raw bytes or in base64. What it answers
 * is verified before anybody gets it. `sign` rejects with the retryable `FloeError('SIGN_COMMAND_FAILED')`, whatever the command does: a device can be
 * plugged in, and a service come back.
 */
export function commandSigner(
  keyId: string,
  { command, publicKey }: SignCommand,
  { exec, env, timeoutMs = TIMEOUT_MS }: SignCommandDeps,
): AsyncSigner {
  const gate = new Gate(AT_ONCE);
  const [file, ...args] = command;

  async function run(bytes: Uint8Array): Promise<ExecResult> {
    try {
      return await exec(file, args, {
        stdin: bytes,
        stdoutEncoding: 'latin1',
        timeoutMs,
        maxMemoryBytes: MAX_MEMORY_BYTES,
        maxProcesses: MAX_PROCESSES,
        maxStdoutBytes: MAX_ANSWER_BYTES,
        cwd: '/',
        env,
      });
    } catch (cause) {
      throw failure('cannot be started: set FLOE_SIGN_COMMAND to the absolute path of a program that this service may run', cause);
    }
  }

  function failure(what: string, cause?: unknown): FloeError {
    return new FloeError('SIGN_COMMAND_FAILED', `the command that signs releases (${file}) ${what}`, { retryable: true, data: { file }, cause });
  }

  return {
    keyId,
    publicKey,
    sign: async (bytes) =>
      await gate.pass(async () => {
        const result = await run(bytes);
        const problem = problemOf(result, timeoutMs);
        if (problem !== undefined) throw failure(`${problem}${lastLine(result.stderr)}`);
        const signature = signatureOf(result.stdout);
        if (signature === undefined)
          throw failure(
            `wrote ${result.stdout.length} bytes that are no signature: it must write 64 raw bytes, or these in base64, and nothing else`,
          );
        if (!verifySignature(publicKey, bytes, signature))
          throw failure(
            `signed with another key, or other bytes: nothing of it is used. It must sign exactly what it reads, with the key whose public part is ${publicKey} (FLOE_SIGN_PUBLIC_KEY)`,
          );
        return signature;
      }),
  };
}

function problemOf({ end, exitCode, signal }: ExecResult, timeoutMs: number): string | undefined {
  switch (end) {
    case 'exited':
      return exitCode === 0 ? undefined : `ended with status ${exitCode}: see to the device or the service that it asks, and to its login there`;
    case 'timed-out':
      return `was ended, because it made no signature within ${timeoutMs / 1000} s: see whether the device or the service that it asks answers`;
    case 'too-much-output':
      return 'was ended, because it wrote more than a signature: it must write nothing else to its output';
    case 'out-of-memory':
      return `was ended, because it used more than ${MAX_MEMORY_BYTES / 1024 ** 2} MiB of memory`;
    case 'too-many-processes':
      return `was ended, because it started more than ${MAX_PROCESSES} processes`;
    case 'aborted':
    case 'killed':
      return `was killed (${signal ?? 'no signal'})`;
  }
}

/** What it said itself, for people: nothing depends on it. */
function lastLine(stderr: string): string {
  const said = stderr.trim().split('\n').at(-1)?.replaceAll(/\p{C}/gu, ' ').trim().slice(0, MAX_SHOWN_CHARACTERS);
  return said === undefined || said === '' ? '' : `. It said: ${said}`;
}

/** In base64; undefined: it is none. `stdout` has a character for each byte. */
function signatureOf(stdout: string): string | undefined {
  const raw = Buffer.from(stdout, 'latin1');
  if (raw.length === SIGNATURE_BYTES) return raw.toString('base64');
  const text = stdout.trim();
  const decoded = Buffer.from(text, 'base64');
  return decoded.length === SIGNATURE_BYTES && decoded.toString('base64') === text ? text : undefined;
}
