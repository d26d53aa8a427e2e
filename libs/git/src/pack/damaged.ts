/** Bytes that git would not write: in a local file it is damage, from a server a broken transfer. */
export class DamagedError extends Error {
  override readonly name = 'DamagedError';
}
