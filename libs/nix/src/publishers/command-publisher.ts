import { FloeError, reveal, type Exec, type ExecResult, type SecretSource } from '@floe/runtime';
import type { Publisher } from './publisher.ts';

export interface PublishCommand {
  /** Its absolute path, and its arguments. */
  readonly command: readonly [string, ...string[]];
  /** Lines NAME=VALUE for its environment alone. */
  readonly credentials: SecretSource | undefined;
  /** One run takes so long at most. */
  readonly timeoutMs: number;
}

interface Deps {
  readonly exec: Exec;
  /** The rest of its environment. */
  readonly env: NodeJS.ProcessEnv;
}

const LINE = /^([A-Za-z_][A-Za-z0-9_]*)=(.*)$/;
const MAX_SHOWN_CHARACTERS = 300;
/** Of what is shown: a shorter value is in many texts. */
const LEAST_SECRET_CHARACTERS = 6;
const TOLD_EVERY_MS = 1_000;

/** What is wrong with such a file; undefined: nothing. */
export function environmentProblem(text: string): string | undefined {
  return parseEnvironment(text) === undefined ? 'is to have lines NAME=VALUE, and nothing else but empty ones and comments with #' : undefined;
}

/**
 * A program that copies closures to a cache: it gets the store paths on its stdin, one a line, and exits with 0 when all of them, with all that they
 * need, are there. Its login is in its environment, and in that of nothing else. What it says is told as progress, without the login.
 */
export function commandPublisher({ command, credentials, timeoutMs }: PublishCommand, { exec, env }: Deps): Publisher {
  const [file, ...args] = command;
  const failure = (what: string, cause?: unknown): FloeError =>
    new FloeError('PUBLISH_COMMAND_FAILED', `publishing to the cache: the command ${file} ${what}`, { retryable: true, cause });

  return {
    async publish(paths, { signal, onProgress }) {
      const given = credentials === undefined ? {} : (parseEnvironment(await reveal(credentials)) ?? {});
      const secrets = Object.values(given).filter((value) => value.length >= LEAST_SECRET_CHARACTERS);
      const shown = (line: string): string =>
        secrets
          .reduce((text, secret) => text.replaceAll(secret, '[redacted]'), line)
          .replaceAll(/\p{C}/gu, ' ')
          .trim()
          .slice(0, MAX_SHOWN_CHARACTERS);
      let said = '';
      let toldAt = Number.NEGATIVE_INFINITY;
      const onLine = (line: string): void => {
        const text = shown(line);
        if (text === '') return;
        said = text;
        const now = performance.now();
        if (now - toldAt < TOLD_EVERY_MS) return;
        toldAt = now;
        onProgress?.(`the push command says: ${text}`);
      };
      onProgress?.(`the push command copies ${paths.length} closures`);
      let result: ExecResult;
      try {
        result = await exec(file, args, {
          stdin: paths.map((path) => `${path}\n`).join(''),
          env: { ...env, ...given },
          cwd: '/',
          signal,
          timeoutMs,
          beyondStdout: 'cut',
          onStdoutLine: onLine,
          onStderrLine: onLine,
        });
      } catch (cause) {
        throw failure('cannot be started: set FLOE_PUBLISH_COMMAND to the absolute path of a program that this service may run', cause);
      }
      if (result.end === 'aborted') throw new FloeError('NIX_STOPPED', 'publishing to the cache was stopped', { retryable: true });
      if (result.end === 'exited' && result.exitCode === 0) return;
      throw failure(`${problemOf(result, timeoutMs)}${said === '' ? '' : `. It said: ${said}`}`);
    },
    // It decides by itself what is missing.
    forget: () => undefined,
  };
}

function problemOf({ end, exitCode, signal }: ExecResult, timeoutMs: number): string {
  if (end === 'exited') return `ended with status ${exitCode}: see to the cache that it pushes to, and to its login there`;
  if (end === 'timed-out')
    return `was ended, because it was not done within ${timeoutMs / 1000} s (FLOE_PUBLISH_TIMEOUT_SECONDS): see whether the cache answers`;
  return `was killed (${signal ?? end})`;
}

/** Undefined: it has other lines. */
function parseEnvironment(text: string): Readonly<Record<string, string>> | undefined {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  const found = lines.map((line) => LINE.exec(line));
  if (found.includes(null)) return undefined;
  return Object.fromEntries(found.map((match) => [match?.[1] ?? '', unquoted(match?.[2] ?? '')]));
}

/** As in a file of systemd or a shell. */
function unquoted(value: string): string {
  return /^(["'])(.*)\1$/.exec(value)?.[2] ?? value;
}
