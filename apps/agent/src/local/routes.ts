import type { IncomingMessage, ServerResponse } from 'node:http';
import { describeError, isFloeError, type Logger } from '@floe/runtime';
import * as v from 'valibot';
import { LaterRequest, NoArguments, type NoticeLine, type RequestRefusal } from './protocol.ts';
import type { Outcome, UserRequests } from './requests.ts';

const MAX_BODY_BYTES = 4 * 1024;
/** A follower with more unread bytes than this is disconnected; it connects again. */
const MAX_UNREAD_BYTES = 64 * 1024;
const MAX_FOLLOWERS = 32;

interface Reply {
  readonly status: number;
  readonly body: object;
}
type Route = (body: unknown, signal: AbortSignal) => Promise<Reply>;

/** The HTTP side of {@link UserRequests}. */
export interface Routes {
  /** Never throws. */
  answer(request: IncomingMessage, response: ServerResponse): Promise<void>;
  followerCount(): number;
  /** Ends every stream. */
  stop(): void;
}

export function createRoutes(handlers: UserRequests, logger: Logger): Routes {
  const table = routeTable(handlers, logger);
  const followers = new Map<ServerResponse, { readonly canShow: boolean }>();

  async function reply(request: IncomingMessage, signal: AbortSignal): Promise<Reply> {
    const { pathname } = urlOf(request);
    const routes = table[pathname];
    if (routes === undefined) return refusal(404, 'NO_SUCH_PATH', `floe-agent does not know ${pathname}: is it older than this command?`);
    const route = routes[request.method ?? ''];
    if (route === undefined) return refusal(405, 'WRONG_METHOD', `${pathname} takes ${Object.keys(routes).join(', ')}`);
    const body = await readBody(request);
    if (body.kind === 'refused') return body.reply;
    return await route(body.json, signal);
  }

  function follow(request: IncomingMessage, response: ServerResponse): void {
    if (followers.size >= MAX_FOLLOWERS) {
      send(response, refusal(503, 'TOO_MANY_FOLLOWERS', 'too many clients follow the notices already'));
      return;
    }
    // A desktop that cannot show notices says so; its users then get them on terminals.
    followers.set(response, { canShow: urlOf(request).searchParams.get('shows') !== 'no' });
    let end = (): void => undefined;
    response.on('error', () => undefined); // 'close' follows.
    response.on('close', () => {
      end();
      followers.delete(response);
    });
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    response.flushHeaders();
    end = handlers.notices((notice) => {
      response.write(`${JSON.stringify({ notice } satisfies NoticeLine)}\n`);
      if (response.writableLength > MAX_UNREAD_BYTES) response.destroy();
    });
  }

  return {
    async answer(request, response) {
      try {
        if (request.method === 'GET' && urlOf(request).pathname === '/events') {
          follow(request, response);
          return;
        }
        const gone = new AbortController();
        response.on('close', () => gone.abort());
        send(response, await reply(request, gone.signal));
      } catch (error) {
        const isKnown = isFloeError(error);
        logger[isKnown ? 'warn' : 'error']('a request of a user failed', { method: request.method, url: request.url, error });
        if (response.headersSent) response.destroy();
        else
          send(
            response,
            refusal(500, isKnown ? error.code : 'INTERNAL', isKnown ? describeError(error) : 'floe-agent failed: see journalctl -u floe-agent'),
          );
      }
    },
    followerCount: () =>
      followers
        .values()
        .filter(({ canShow }) => canShow)
        .toArray().length,
    stop() {
      for (const response of followers.keys()) response.destroy();
    },
  };
}

function routeTable(handlers: UserRequests, logger: Logger): Readonly<Record<string, Readonly<Record<string, Route>>>> {
  /** A request that changes something: its body is checked, its outcome logged and returned. */
  function change<Body>(
    name: string,
    schema: v.GenericSchema<unknown, Body>,
    ask: (body: Body) => Promise<Outcome<object>>,
  ): { readonly POST: Route } {
    return {
      async POST(json) {
        const parsed = v.safeParse(schema, json ?? {});
        if (!parsed.success) return refusal(400, 'BAD_REQUEST', `the body is invalid: ${v.summarize(parsed.issues)}`);
        const outcome = await ask(parsed.output);
        logger.info('a user made a request', {
          request: name,
          ...parsed.output,
          outcome: outcome.kind === 'refused' ? outcome.code : 'ok',
        });
        return outcomeReply(outcome);
      },
    };
  }
  return {
    '/status': { GET: async () => ({ status: 200, body: await handlers.status() }) },
    '/changes': { GET: async (_json, signal) => outcomeReply(await handlers.changes(signal)) },
    '/later': change('later', LaterRequest, async ({ minutes }) => await handlers.later(minutes)),
    '/now': change('now', NoArguments, async () => await handlers.now()),
    '/rollback': change('rollback', NoArguments, async () => await handlers.rollback()),
    '/resume': change('resume', NoArguments, async () => await handlers.resume()),
  };
}

function outcomeReply(outcome: Outcome<object>): Reply {
  if (outcome.kind === 'refused') return refusal(409, outcome.code, outcome.message);
  const { kind: _ok, ...body } = outcome;
  return { status: 200, body };
}

function refusal(status: number, code: string, message: string): Reply {
  return { status, body: { code, message } satisfies RequestRefusal };
}

function send(response: ServerResponse, { status, body }: Reply): void {
  if (response.destroyed) return;
  const text = `${JSON.stringify(body)}\n`;
  // One request per connection: unread bytes of a refused body must not look like the next request.
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text), connection: 'close' });
  response.end(text);
}

function urlOf(request: IncomingMessage): URL {
  return URL.parse(request.url ?? '/', 'http://floe-agent') ?? new URL('http://floe-agent/');
}

async function readBody(request: IncomingMessage): Promise<{ kind: 'read'; json: unknown } | { kind: 'refused'; reply: Reply }> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length;
    // Read to the end and drop it: to stop early would close the connection before the answer.
    if (size <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  if (size > MAX_BODY_BYTES) return { kind: 'refused', reply: refusal(413, 'BODY_TOO_LONG', `a request has at most ${MAX_BODY_BYTES} bytes`) };
  const text = Buffer.concat(chunks).toString('utf8').trim();
  try {
    return { kind: 'read', json: text === '' ? undefined : JSON.parse(text) };
  } catch {
    return { kind: 'refused', reply: refusal(400, 'BAD_REQUEST', 'the body is not JSON') };
  }
}
