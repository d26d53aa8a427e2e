import { timeLimit } from '@floe/model';
import { FloeError } from '@floe/runtime';

const TIMEOUT_MS = 15_000;
const MAX_ANSWER_BYTES = 64 * 1024;

export interface Answer {
  readonly status: number;
  readonly body: string;
}

/**
 * Posts JSON and returns the answer, whatever its status. Throws `FloeError('SERVER_UNREACHABLE')`, retryable.
 */
export async function postJson(url: string, body: object, signal: AbortSignal): Promise<Answer> {
  const text = JSON.stringify(body);
  // Importing node:http evaluates all of its exports, fetch among them, which costs 13 MB (Node 24); requiring it does not.
  const { request: send } = url.startsWith('https:') ? process.getBuiltinModule('node:https') : process.getBuiltinModule('node:http');
  const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), connection: 'close' };
  return await new Promise((resolve, reject) => {
    const unreachable = (cause: unknown): void => reject(new FloeError('SERVER_UNREACHABLE', `${url} cannot be reached`, { retryable: true, cause }));
    const request = send(url, { method: 'POST', headers, signal, timeout: TIMEOUT_MS }, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_ANSWER_BYTES) request.destroy(new Error('the answer is too long'));
        else chunks.push(chunk);
      });
      response.on('error', unreachable);
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }));
    });
    request.on('timeout', () => request.destroy(new Error(`no answer within ${timeLimit(TIMEOUT_MS)}`)));
    request.on('error', unreachable);
    request.end(text);
  });
}
