/** Bytes that are not what git writes: of a file on this disk, damage; of what a server sent, a broken transfer. */
export class DamagedError extends Error {
  override readonly name = 'DamagedError';
}
