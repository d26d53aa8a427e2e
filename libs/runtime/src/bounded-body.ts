import { FloeError } from './errors.ts';

/**
 * The text of an answer of at most `maxBytes`, after decompression. Whoever answers may be hostile, or simply not who it
 * should be: an answer is never read whole before its length is known. Throws `FloeError('ANSWER_TOO_LONG')`.
 */
export async function readBoundedText(answer: { readonly body: ReadableStream<Uint8Array> | null }, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of answer.body ?? []) {
    size += chunk.length;
    // Leaving the loop cancels the stream, and with it the connection.
    if (size > maxBytes) throw new FloeError('ANSWER_TOO_LONG', `the answer is longer than ${maxBytes} bytes`, { data: { maxBytes } });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks, size).toString('utf8');
}
