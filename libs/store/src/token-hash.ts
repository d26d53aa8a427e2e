import { createHash } from 'node:crypto';

/** What is stored of a token: the hex SHA-256. Enough, because tokens are random and long: there is nothing to guess. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token, 'utf8').digest('hex');
}
