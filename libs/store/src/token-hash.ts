import { createHash } from 'node:crypto';

/** The stored form of a token: its hex SHA-256. No salt is needed, because tokens are random and long. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token, 'utf8').digest('hex');
}
