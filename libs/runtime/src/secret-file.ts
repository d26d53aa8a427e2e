import { readFile } from 'node:fs/promises';
import { FloeError } from './errors.ts';
import { Secret } from './logger.ts';

/** A secret that is read when it is needed, so that a new one is used at once. */
export interface SecretSource {
  /** How the setting that names it is called where it was set, for messages. */
  readonly setting: string;
  read(): Promise<Secret>;
}

/** More than any token or key has. */
const MAX_BYTES = 64 * 1024;

/** A secret in a file. Throws `SECRET_UNREADABLE`, which may pass: files are replaced while they are read. */
export function secretFile(path: string, setting: string): SecretSource {
  function unreadable(reason: string, cause?: unknown): FloeError {
    return new FloeError('SECRET_UNREADABLE', `${setting}: the file ${path} ${reason}`, { retryable: true, cause, data: { path, setting } });
  }
  return {
    setting,
    async read() {
      const text = await readFile(path, 'utf8').catch((error: unknown) => {
        throw unreadable(`cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`, error);
      });
      if (text.length > MAX_BYTES) throw unreadable('is too large for a secret');
      if (text.trim() === '') throw unreadable('is empty');
      return new Secret(text.trim());
    },
  };
}

/** The secret itself, for the one call that needs it. */
export async function reveal(secret: Secret | SecretSource): Promise<string> {
  return secret instanceof Secret ? secret.reveal() : (await secret.read()).reveal();
}
