import { FloeError } from './errors.ts';

/**
 * The text of an answer of at most `maxBytes`, after decompression. Whoever answers may be hostile, or simply not who it
 * should be: an answer is never read whole before its length is known. Throws `FloeError('ANSWER_TOO_LONG')`.
 */
export async function readBoundedText(answer: { readonly body: ReadableStream<Uint8Array> | null }, maxBytes: number): Promise<string> {
  // Copied into one buffer: pieces of one byte each, which a sender may choose, cost hundreds of bytes when they are kept.
  let held = Buffer.alloc(Math.min(maxBytes, 4096));
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    // Leaving the loop cancels the stream, and with it the connection.
    if (size + chunk.length > maxBytes) throw new FloeError('ANSWER_TOO_LONG', `the answer is longer than ${maxBytes} bytes`, { data: { maxBytes } });
    if (size + chunk.length > held.length) held = Buffer.concat([held], Math.min(maxBytes, 2 * (size + chunk.length)));
    held.set(chunk, size);
    size += chunk.length;
  }
  return held.toString('utf8', 0, size);
}
