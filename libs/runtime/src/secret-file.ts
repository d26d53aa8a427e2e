import { readFile } from 'node:fs/promises';
import { FloeError } from './errors.ts';
import { Secret } from './logger.ts';

/** A secret that is read when it is needed, so that a new one is used immediately. */
export interface SecretSource {
  /** The name of its setting, for messages. */
  readonly setting: string;
  read(): Promise<Secret>;
}

/** Larger than any token or key. */
const MAX_BYTES = 64 * 1024;

/** A secret in a file. Throws the retryable `SECRET_UNREADABLE`: files are replaced while they are read. */
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

/** The secret itself, for the call that needs it. */
export async function reveal(secret: Secret | SecretSource): Promise<string> {
  return secret instanceof Secret ? secret.reveal() : (await secret.read()).reveal();
}
