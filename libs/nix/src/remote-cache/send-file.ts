import { createReadStream } from 'node:fs';
import { request as requestPlain, type ClientRequest } from 'node:http';
import { request as requestSecure } from 'node:https';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';

interface SendOptions {
  readonly headers: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** A connection on which nothing moves for so long is ended. */
  readonly silenceMs: number;
  /** Gets the bytes of each part that was handed to the system. */
  readonly onSent?: ((bytes: number) => void) | undefined;
}

/**
 * PUTs a text, or a file of any size, and resolves to the status. Node's fetch sends a stream without its length, which S3 refuses, and limits the
 * whole by one time. Rejects with what the connection says.
 */
export async function sendFile(
  url: URL,
  body: { readonly text: string } | { readonly path: string; readonly bytes: number },
  { headers, signal, silenceMs, onSent }: SendOptions,
): Promise<number> {
  const start = url.protocol === 'https:' ? requestSecure : requestPlain;
  const bytes = 'text' in body ? Buffer.byteLength(body.text) : body.bytes;
  const answered = Promise.withResolvers<number>();
  const request: ClientRequest = start(url, {
    method: 'PUT',
    headers: { ...headers, 'content-length': bytes, 'content-type': 'application/octet-stream' },
    ...(signal === undefined ? {} : { signal }),
  });
  request.setTimeout(silenceMs, () => request.destroy(Object.assign(new Error('silent'), { code: 'ETIMEDOUT' })));
  request.on('error', (error) => answered.reject(error));
  request.on('close', () => answered.reject(Object.assign(new Error('it closed the connection'), { code: 'ECONNRESET' })));
  request.on('response', (response) => {
    response.resume();
    answered.resolve(response.statusCode ?? 0);
  });
  const counting = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      onSent?.(chunk.length);
      done(null, chunk);
    },
  });
  const source = 'text' in body ? Readable.from([Buffer.from(body.text)]) : createReadStream(body.path);
  // Who refuses a file may answer before it has all of it, and then closes: the answer counts.
  const sending = pipeline(source, counting, request).catch((error: unknown) => answered.reject(error));
  try {
    return await answered.promise;
  } finally {
    request.destroy();
    await sending;
  }
}
