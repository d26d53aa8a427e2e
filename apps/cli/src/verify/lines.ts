/** A line without its end. `isLong`: it has more bytes than are read, and this is its beginning. */
export interface Line {
  readonly text: string;
  readonly isLong: boolean;
  /** The file ends with it, and it has no end of its own. */
  readonly isCut: boolean;
}

const NEWLINE = 10;

/** The lines of a stream of bytes, which holds no more in memory than one piece of it and `maxBytes`, whoever wrote it. */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>, maxBytes: number): AsyncGenerator<Line> {
  let kept: Uint8Array[] = [];
  let size = 0;
  const take = (bytes: Uint8Array): void => {
    const room = Math.max(0, maxBytes - size);
    // Copied: a piece of a stream may be filled again.
    if (room > 0 && bytes.length > 0) kept.push(bytes.slice(0, room));
    size += bytes.length;
  };
  const end = (isCut: boolean): Line => {
    const line = { text: Buffer.concat(kept).toString('utf8'), isLong: size > maxBytes, isCut };
    kept = [];
    size = 0;
    return line;
  };
  for await (const piece of pieces) {
    let from = 0;
    for (let at = piece.indexOf(NEWLINE); at >= 0; at = piece.indexOf(NEWLINE, from)) {
      take(piece.subarray(from, at));
      yield end(false);
      from = at + 1;
    }
    take(piece.subarray(from));
  }
  if (size > 0) yield end(true);
}
