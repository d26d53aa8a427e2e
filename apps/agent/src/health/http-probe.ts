import type { IncomingMessage } from 'node:http';
import type { HttpCheck } from './check-form.ts';

const MAX_REDIRECTS = 5;
/** How much of an answer is searched for text. */
const MAX_BODY_BYTES = 1024 * 1024;

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
}

/** One request. Null when the answer is as expected; else what was expected and what came. */
export async function probeHttp(check: HttpCheck, signal: AbortSignal): Promise<string | null> {
  const expected = check.statuses.length === 0 ? 'status 200 to 399' : `status ${check.statuses.join(' or ')}`;
  const isGood = (status: number): boolean => (check.statuses.length === 0 ? status >= 200 && status <= 399 : check.statuses.includes(status));
  let url = new URL(check.url);
  for (let redirects = 0; ; redirects += 1) {
    let answer: Answer;
    try {
      answer = await get(url, signal);
    } catch (error) {
      return `expected ${expected} from ${url.href}, got no answer: ${reason(error)}`;
    }
    const next = redirectOnSameHost(answer, url);
    // A redirect whose status is expected is not followed.
    if (next !== null && !check.statuses.includes(answer.status)) {
      if (redirects === MAX_REDIRECTS)
        return `expected ${expected} from ${check.url}, got more than ${MAX_REDIRECTS} redirects, the last to ${next.href}`;
      url = next;
      continue;
    }
    if (!isGood(answer.status)) return `expected ${expected} from ${url.href}, got status ${answer.status}${shown(answer.body)}`;
    if (check.body !== undefined && !answer.body.includes(check.body)) {
      return `expected "${check.body}" in the answer of ${url.href}, got status ${answer.status} without it${shown(answer.body)}`;
    }
    return null;
  }
}

/** Null also for a redirect to another host, whose health is not this machine's. */
function redirectOnSameHost({ status, location }: Answer, from: URL): URL | null {
  if (status < 300 || status > 399 || location === undefined || !URL.canParse(location, from.href)) return null;
  const next = new URL(location, from);
  return next.hostname === from.hostname && /^https?:$/.test(next.protocol) ? next : null;
}

/** One GET over a new connection, without a proxy. `fetch` would refuse some ports, and keep 13 MB of memory. */
async function get(url: URL, signal: AbortSignal): Promise<Answer> {
  const { request: send, Agent } = url.protocol === 'https:' ? process.getBuiltinModule('node:https') : process.getBuiltinModule('node:http');
  // An agent of its own: the environment may have set a proxy for the global one.
  const agent = new Agent({ keepAlive: false });
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = send(
        url.href,
        { agent, signal, headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'floe-agent' } },
        resolve,
      );
      request.on('error', reject);
      request.end();
    });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      size += chunk.length;
      // Leaving the loop ends the connection: of an endless stream only the beginning counts.
      if (size >= MAX_BODY_BYTES) break;
    }
    return { status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8'), location: response.headers.location };
  } finally {
    agent.destroy();
  }
}

function shown(body: string): string {
  const text = body.trim().slice(0, 200);
  return text === '' ? '' : `: ${text}`;
}

function reason(error: unknown): string {
  // With several addresses each has its own message, and the error itself only a code.
  const { code, message } = error as NodeJS.ErrnoException;
  return message === '' || message === undefined ? (code ?? 'the connection failed') : message;
}
