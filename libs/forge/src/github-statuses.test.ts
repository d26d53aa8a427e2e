import { createPublicKey, generateKeyPairSync, verify } from 'node:crypto';
import { createServer, type IncomingMessage } from 'node:http';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { CommitSha } from '@floe/model';
import { Secret } from '@floe/runtime';
import { Ajv } from 'ajv';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createGithubStatuses, type GithubStatusesOptions } from './github-statuses.ts';
import type { GithubAuth } from './github-sign-in.ts';
import type { OutgoingStatus, PostOutcome } from './status.ts';

const SHA = '6113728f27ae82c7b1a177c8d03f9e96e0adf246' as CommitSha;
const STATUS_ROUTE = '/repos/{owner}/{repo}/statuses/{sha}';
const TOKEN_ROUTE = '/app/installations/{installation_id}/access_tokens';
const never = new AbortController().signal;
const status: OutgoingStatus = {
  sha: SHA,
  context: 'floe/rollout',
  state: 'success',
  description: 'all 3 hosts run it',
  targetUrl: 'https://floe.example.org/#/revisions/1',
};

interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: unknown;
}
interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
}

/** An HTTP server that keeps what it received and answers as told; `undefined` leaves the request without an answer. */
class FakeGithub implements AsyncDisposable {
  readonly received: Received[] = [];
  answer: (request: Received) => Answer | undefined = () => ({ status: 201, body: {} });
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const text = Buffer.concat(chunks).toString('utf8');
      const received = {
        method: request.method ?? '',
        path: request.url ?? '',
        headers: request.headers,
        body: text === '' ? undefined : (JSON.parse(text) as unknown),
      };
      this.received.push(received);
      const answer = this.answer(received);
      if (answer !== undefined)
        response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(JSON.stringify(answer.body ?? {}));
    });
  });

  async listen(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
  }

  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

function isTokenRequest({ path }: Received): boolean {
  return path.endsWith('/access_tokens');
}

const started: FakeGithub[] = [];
afterEach(async () => {
  for (const github of started.splice(0)) await github[Symbol.asyncDispose]();
});

async function startGithub(): Promise<FakeGithub> {
  const github = new FakeGithub();
  await github.listen();
  started.push(github);
  return github;
}

function statusesFor(github: FakeGithub, more: Partial<GithubStatusesOptions> = {}) {
  return createGithubStatuses({
    apiUrl: github.url,
    repository: 'ice/fleet',
    auth: { kind: 'token', token: new Secret('ghp_abc') },
    userAgent: 'floe',
    ...more,
  });
}

interface Operation {
  readonly parameters: readonly ({ readonly $ref: string } | Parameter)[];
  readonly requestBody: { readonly required?: boolean; readonly content: { readonly 'application/json': { readonly schema: object } } };
}
interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly required?: boolean;
  readonly schema: object;
}
interface Description {
  readonly paths: Record<string, { readonly post: Operation }>;
  readonly components: { readonly parameters: Record<string, Parameter>; readonly schemas: Record<string, object> };
}

/** Checks a request as received against one operation of GitHub's published description. */
type Check = (received: Received) => readonly string[];
let checkStatus: Check;
let checkToken: Check;

beforeAll(() => {
  const file = createRequire(import.meta.url).resolve('@octokit/openapi/generated/api.github.com.json');
  const description = JSON.parse(readFileSync(file, 'utf8')) as Description;
  checkStatus = operationCheck(description, STATUS_ROUTE);
  checkToken = operationCheck(description, TOKEN_ROUTE);
});

function operationCheck(description: Description, route: string): Check {
  const operation = description.paths[route]?.post;
  if (operation === undefined) throw new Error(`GitHub's description has no POST ${route}`);
  const ajv = new Ajv({ strict: false, allErrors: true });
  const body = operation.requestBody;
  // Unknown fields are allowed by the description and ignored by GitHub: here they would be mistakes.
  const schema = body.content['application/json'].schema;
  const schemas = Object.fromEntries(
    Object.entries(description.components.schemas).filter(([name]) => JSON.stringify(schema).includes(`#/components/schemas/${name}"`)),
  );
  const checkBody = ajv.compile({ ...schema, additionalProperties: false, components: { schemas } });
  const parameters = operation.parameters
    .map((each) => ('$ref' in each ? description.components.parameters[each.$ref.split('/').at(-1) ?? ''] : each))
    .filter((each) => each !== undefined);
  const path = new RegExp(`^${route.replace(/\{(\w+)\}/g, '(?<$1>[^/?]+)')}$`);
  return ({ method, path: asked, headers, body: sent }) => {
    const problems: string[] = [];
    if (method !== 'POST') problems.push(`method ${method}`);
    const match = path.exec(asked);
    if (match === null) return [`path ${asked}`];
    for (const parameter of parameters) {
      const text = match.groups?.[parameter.name];
      const isInteger = (parameter.schema as { type?: string }).type === 'integer';
      if (parameter.in === 'path' && !ajv.validate(parameter.schema, isInteger ? Number(text) : text))
        problems.push(`parameter ${parameter.name}: ${text}`);
    }
    if (sent !== undefined || body.required === true) {
      if (!/^application\/json\b/.test(headers['content-type'] ?? '')) problems.push(`content-type ${headers['content-type']}`);
      if (!checkBody(sent)) problems.push(ajv.errorsText(checkBody.errors));
    }
    // docs.github.com, "Getting started with the REST API": what every request carries.
    if (headers['user-agent'] !== 'floe') problems.push(`user-agent ${headers['user-agent']}`);
    if (!/^application\/vnd\.github\b.*\+json$/.test(headers.accept ?? '')) problems.push(`accept ${headers.accept}`);
    if (headers['x-github-api-version'] !== '2022-11-28') problems.push(`x-github-api-version ${String(headers['x-github-api-version'])}`);
    return problems;
  };
}

describe("against GitHub's published description", () => {
  it('a status is a right request', async () => {
    const github = await startGithub();
    for (const state of ['pending', 'success', 'failure', 'error'] as const) {
      expect(await statusesFor(github).post({ ...status, state }, never)).toEqual({ kind: 'sent' });
    }
    expect(github.received.map(checkStatus)).toEqual([[], [], [], []]);
    expect(github.received[1]).toMatchObject({
      path: `/repos/ice/fleet/statuses/${SHA}`,
      headers: { authorization: 'Bearer ghp_abc' },
      body: { state: 'success', context: 'floe/rollout', description: 'all 3 hosts run it', target_url: 'https://floe.example.org/#/revisions/1' },
    });
  });

  it('the check itself notices what is wrong', async () => {
    const github = await startGithub();
    await statusesFor(github).post({ ...status, state: 'fine' as 'success' }, never);
    expect(github.received.flatMap(checkStatus).join()).toContain('must be equal to one of the allowed values');
    const [received] = github.received as [Received];
    expect(checkStatus({ ...received, path: '/repos/ice/statuses/1' })).toEqual(['path /repos/ice/statuses/1']);
    expect(checkStatus({ ...received, body: { state: 'success', url: 'x' } }).join()).toContain('additional');
  });

  it('a long description is cut to 140 characters', async () => {
    const github = await startGithub();
    await statusesFor(github).post({ ...status, description: 'x'.repeat(500) }, never);
    expect(github.received[0]).toMatchObject({ body: { description: `${'x'.repeat(139)}…` } });
  });

  it('an API below a path (GitHub Enterprise Server) is asked there', async () => {
    const github = await startGithub();
    expect(await statusesFor(github, { apiUrl: `${github.url}/api/v3/` }).post(status, never)).toEqual({ kind: 'sent' });
    expect(github.received[0]?.path).toBe(`/api/v3/repos/ice/fleet/statuses/${SHA}`);
  });
});

const DATE = 'Tue, 06 Jan 2026 10:00:00 GMT';
const RESET = String(Date.parse(DATE) / 1000 + 90);

describe('what GitHub answers', () => {
  it.each<[string, Answer, Partial<PostOutcome> & object]>([
    ['201', { status: 201 }, { kind: 'sent' }],
    ['429 with Retry-After', { status: 429, headers: { 'retry-after': '17' } }, { kind: 'retry', code: 'RATE_LIMITED', afterMs: 17_000 }],
    ['429 with nothing', { status: 429 }, { kind: 'retry', code: 'RATE_LIMITED', afterMs: 60_000 }],
    [
      'Retry-After as a date',
      { status: 503, headers: { date: DATE, 'retry-after': 'Tue, 06 Jan 2026 10:00:05 GMT' } },
      { kind: 'retry', code: 'FORGE_FAILED', afterMs: 5_000 },
    ],
    [
      'an absurd Retry-After',
      { status: 429, headers: { 'retry-after': '99999999999' } },
      { kind: 'retry', code: 'RATE_LIMITED', afterMs: 3_600_000 },
    ],
    ['a Retry-After that is none', { status: 503, headers: { 'retry-after': 'soon' } }, { kind: 'retry', code: 'FORGE_FAILED', afterMs: undefined }],
    [
      'a used-up limit',
      { status: 403, headers: { date: DATE, 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': RESET } },
      { kind: 'retry', code: 'RATE_LIMITED', afterMs: 90_000 },
    ],
    [
      'Retry-After before the reset',
      { status: 403, headers: { date: DATE, 'retry-after': '3', 'x-ratelimit-remaining': '0', 'x-ratelimit-reset': RESET } },
      { kind: 'retry', code: 'RATE_LIMITED', afterMs: 3_000 },
    ],
    [
      'a secondary limit by its words',
      { status: 403, body: { message: 'You have exceeded a secondary rate limit.' } },
      { kind: 'retry', code: 'RATE_LIMITED', afterMs: 60_000 },
    ],
    [
      '403 with limit left',
      { status: 403, headers: { 'x-ratelimit-remaining': '4999', 'x-ratelimit-reset': RESET } },
      { kind: 'refused', concerns: 'access', code: 'FORBIDDEN' },
    ],
    ['401', { status: 401, body: { message: 'Bad credentials' } }, { kind: 'refused', concerns: 'access', code: 'CREDENTIALS_REFUSED' }],
    ['404', { status: 404 }, { kind: 'refused', concerns: 'access', code: 'REPOSITORY_NOT_FOUND' }],
    ['422', { status: 422, body: { message: 'No commit found for SHA' } }, { kind: 'refused', concerns: 'status', code: 'STATUS_REJECTED' }],
    ['500', { status: 500 }, { kind: 'retry', code: 'FORGE_FAILED', afterMs: undefined }],
    ['502 of a proxy', { status: 502, headers: { 'content-type': 'text/html' } }, { kind: 'retry', code: 'FORGE_FAILED', afterMs: undefined }],
    ['200, which is no created status', { status: 200 }, { kind: 'refused', concerns: 'access', code: 'ANSWER_UNEXPECTED' }],
    ['418', { status: 418 }, { kind: 'refused', concerns: 'access', code: 'ANSWER_UNEXPECTED' }],
  ])('%s', async (_name, answer, outcome) => {
    const github = await startGithub();
    github.answer = () => answer;
    expect(await statusesFor(github).post(status, never)).toMatchObject(outcome);
    expect(github.received).toHaveLength(1);
  });

  it('a redirect that loses the POST is not taken for a status', async () => {
    const github = await startGithub();
    github.answer = ({ method }) =>
      method === 'POST' ? { status: 301, headers: { location: `/repositories/1/statuses/${SHA}` } } : { status: 200, body: [] };
    expect(await statusesFor(github).post(status, never)).toMatchObject({ kind: 'refused', code: 'ANSWER_UNEXPECTED' });
  });

  it('a renamed repository (307) is followed', async () => {
    const github = await startGithub();
    github.answer = ({ path }) =>
      path.startsWith('/repos/') ? { status: 307, headers: { location: `/repositories/1/statuses/${SHA}` } } : { status: 201 };
    expect(await statusesFor(github).post(status, never)).toEqual({ kind: 'sent' });
    expect(github.received[1]).toMatchObject({ method: 'POST', headers: { authorization: 'Bearer ghp_abc' }, body: { state: 'success' } });
  });

  it('its reason is in the message, and no secret', async () => {
    const github = await startGithub();
    github.answer = () => ({ status: 422, body: { message: 'Validation Failed', errors: [{ field: 'sha', code: 'invalid' }] } });
    const outcome = await statusesFor(github).post(status, never);
    expect(outcome).toMatchObject({ message: expect.stringContaining('Validation Failed; {"field":"sha","code":"invalid"}') as unknown });
    expect(JSON.stringify(outcome)).not.toContain('ghp_abc');
  });
});

describe('a forge that does not answer', () => {
  it('is given up after the time limit', async () => {
    const github = await startGithub();
    github.answer = () => undefined;
    expect(await statusesFor(github, { timeoutMs: 50 }).post(status, never)).toMatchObject({ kind: 'retry', code: 'FORGE_UNREACHABLE' });
  });

  it('is left when the signal aborts', async () => {
    const github = await startGithub();
    const stop = new AbortController();
    github.answer = () => {
      stop.abort();
      return undefined;
    };
    expect(await statusesFor(github).post(status, stop.signal)).toMatchObject({ kind: 'retry' });
  });

  it('because nobody listens is unreachable', async () => {
    const github = await startGithub();
    const apiUrl = github.url;
    await github[Symbol.asyncDispose]();
    expect(await statusesFor(github, { apiUrl }).post(status, never)).toMatchObject({
      kind: 'retry',
      code: 'FORGE_UNREACHABLE',
      message: expect.stringContaining('ECONNREFUSED') as unknown,
    });
  });
});

describe('as an installation of a GitHub App', () => {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  const auth: GithubAuth = { kind: 'app', appId: '4711', privateKey: new Secret(privateKey), installationId: 42 };
  /** Hands out `ghs_1`, `ghs_2`, … to who has the App's key; takes statuses signed by one that `accepts`. */
  async function startWithApp(accepts: (token: string) => boolean = () => true, lifeMs = 3_600_000): Promise<FakeGithub> {
    const github = await startGithub();
    let handedOut = 0;
    github.answer = (request) => {
      if (!isTokenRequest(request))
        return accepts(request.headers.authorization?.replace('Bearer ', '') ?? '')
          ? { status: 201 }
          : { status: 401, body: { message: 'Bad credentials' } };
      if (!isSignedByApp(request.headers.authorization ?? '')) return { status: 401, body: { message: 'A JSON web token could not be decoded' } };
      handedOut += 1;
      return {
        status: 201,
        body: {
          token: `ghs_${handedOut}`,
          expires_at: new Date(Date.now() + lifeMs).toISOString(),
          permissions: { statuses: 'write' },
          repository_selection: 'selected',
        },
      };
    };
    return github;
  }

  function isSignedByApp(authorization: string): boolean {
    const [header = '', claims = '', signature = ''] = authorization.replace(/^bearer /i, '').split('.');
    if (!verify('sha256', Buffer.from(`${header}.${claims}`), createPublicKey(publicKey), Buffer.from(signature, 'base64url'))) return false;
    const { iss, exp } = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8')) as { iss: string; exp: number };
    return iss === '4711' && exp * 1000 > Date.now();
  }

  it('signs in with a JWT of the key, and posts with the token that it gets', async () => {
    const github = await startWithApp();
    expect(await statusesFor(github, { auth }).post(status, never)).toEqual({ kind: 'sent' });
    const [signIn, posted] = github.received as [Received, Received];
    expect(checkToken(signIn)).toEqual([]);
    expect(signIn.path).toBe('/app/installations/42/access_tokens');
    expect(checkStatus(posted)).toEqual([]);
    expect(posted.headers.authorization).toBe('Bearer ghs_1');
  });

  it('keeps the token until it is about to end', async () => {
    const github = await startWithApp();
    let now = Date.now();
    const statuses = statusesFor(github, { auth, now: () => now });
    await statuses.post(status, never);
    now += 50 * 60_000;
    await statuses.post(status, never);
    expect(github.received.filter(isTokenRequest)).toHaveLength(1);
    now += 6 * 60_000;
    await statuses.post(status, never);
    expect(github.received.at(-1)?.headers.authorization).toBe('Bearer ghs_2');
  });

  it('fetches another token when the kept one is refused before its time', async () => {
    const revoked = new Set<string>();
    const github = await startWithApp((token) => !revoked.has(token));
    const statuses = statusesFor(github, { auth });
    await statuses.post(status, never);
    revoked.add('ghs_1');
    expect(await statuses.post(status, never)).toEqual({ kind: 'sent' });
    expect(github.received.at(-1)?.headers.authorization).toBe('Bearer ghs_2');
  });

  it('does not try a third time when a fresh token is refused', async () => {
    const github = await startWithApp(() => false);
    expect(await statusesFor(github, { auth }).post(status, never)).toMatchObject({
      kind: 'refused',
      concerns: 'access',
      code: 'CREDENTIALS_REFUSED',
    });
    expect(github.received).toHaveLength(2);
  });

  it('with the key of another App is refused', async () => {
    const other = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      publicKeyEncoding: { type: 'spki', format: 'pem' },
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    });
    const github = await startWithApp();
    const outcome = await statusesFor(github, { auth: { ...auth, privateKey: new Secret(other.privateKey) } }).post(status, never);
    expect(outcome).toMatchObject({ kind: 'refused', concerns: 'access', code: 'CREDENTIALS_REFUSED' });
  });

  it('with a file that is no key is refused without asking', async () => {
    const github = await startWithApp();
    const outcome = await statusesFor(github, { auth: { ...auth, privateKey: new Secret('not a key') } }).post(status, never);
    expect(outcome).toMatchObject({
      kind: 'refused',
      concerns: 'access',
      code: 'CREDENTIALS_REFUSED',
      message: expect.stringContaining('private key') as unknown,
    });
    expect(JSON.stringify(outcome)).not.toContain('not a key');
    expect(github.received).toEqual([]);
  });

  it('that is gone is refused, one that is limited waits', async () => {
    const github = await startGithub();
    github.answer = () => ({ status: 404, body: { message: 'Integration not found' } });
    expect(await statusesFor(github, { auth }).post(status, never)).toMatchObject({
      kind: 'refused',
      concerns: 'access',
      code: 'REPOSITORY_NOT_FOUND',
    });
    github.answer = () => ({ status: 429, headers: { 'retry-after': '4' } });
    expect(await statusesFor(github, { auth }).post(status, never)).toMatchObject({ kind: 'retry', afterMs: 4_000 });
  });
});

it('a repository that is none is refused at once', async () => {
  const github = await startGithub();
  expect(() => statusesFor(github, { repository: 'https://github.com/ice/fleet' })).toThrow(
    expect.objectContaining({ code: 'GITHUB_REPOSITORY_INVALID' }) as Error,
  );
});
