import { FloeError } from './errors.ts';

/**
 * The text of an answer of at most `maxBytes`, after decompression. The other side may be hostile, so the body is never buffered
 * without a limit. Throws `FloeError('ANSWER_TOO_LONG')`.
 */
export async function readBoundedText(answer: { readonly body: ReadableStream<Uint8Array> | null }, maxBytes: number): Promise<string> {
  // Copied into one buffer: a sender may choose chunks of one byte, and keeping each costs hundreds of bytes.
  let held = Buffer.alloc(Math.min(maxBytes, 4096));
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    // Leaving the loop cancels the stream, and closes the connection.
    if (size + chunk.length > maxBytes) throw new FloeError('ANSWER_TOO_LONG', `the answer is longer than ${maxBytes} bytes`, { data: { maxBytes } });
    if (size + chunk.length > held.length) held = Buffer.concat([held], Math.min(maxBytes, 2 * (size + chunk.length)));
    held.set(chunk, size);
    size += chunk.length;
  }
  return held.toString('utf8', 0, size);
}
