import { createHmac, randomUUID } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { join } from 'node:path';
import { createGitHttpHandler, type RefUpdate } from './git-http-server.ts';

export interface PostedStatus {
  readonly sha: string;
  readonly context: string;
  readonly state: string;
  readonly description: string;
  readonly targetUrl: string | undefined;
  /** When it arrived, ms since 1970. */
  readonly at: number;
}

/** What goes wrong with one posted status. */
export interface StatusFault {
  /** When it is recorded after all; undefined: never. */
  readonly recorded: Promise<void> | undefined;
  /** The status code of the answer; undefined: none, the line stays open. */
  readonly answer: number | undefined;
}

export interface LocalForgeOptions {
  /** Folder of the bare repository, `<name>.git`. */
  readonly projectRoot: string;
  /** `owner/name`, as in the API and the webhooks; git finds it at `/<name>.git`. */
  readonly repository: string;
  readonly webhookSecret: string;
  /** Accepted as the password of git requests and as the bearer token of API requests. */
  readonly token: string;
  /** The URL for webhooks; may be set later. */
  readonly webhookUrl?: string;
}

/** A moved branch; without `before` it was created, without `after` deleted. */
export type PushedRef = Pick<RefUpdate, 'ref'> & Partial<RefUpdate>;

const ZERO = '0'.repeat(40);

/**
 * A small forge: git over smart HTTP by native git, GitHub-shaped signed webhooks on every push, and the part of
 * GitHub's API that takes commit statuses.
 */
export class LocalForge implements AsyncDisposable {
  readonly statuses: PostedStatus[] = [];
  readonly deliveries: { readonly id: string; readonly ref: string; readonly after: string; readonly at: number; readonly answer: number }[] = [];
  webhookUrl: string | undefined;
  /** When set, the API answers every request with this status instead. */
  failWith: { readonly status: number; readonly headers?: Record<string, string> } | undefined;
  /** For the next statuses, one each; those after them are recorded and answered at once. */
  readonly faults: StatusFault[] = [];
  /** False: it is a forge of which no status can be read. */
  isReadable = true;
  /** When false, pushes that arrive are not announced: only the poll finds them. */
  announces = true;
  readonly #options: LocalForgeOptions;
  readonly #server = createServer((request, response) => this.#answer(request, response));
  readonly #git: (request: IncomingMessage, response: ServerResponse) => void;
  readonly #announcing = new Set<Promise<void>>();
  #port = 0;

  constructor(options: LocalForgeOptions) {
    this.#options = options;
    this.webhookUrl = options.webhookUrl;
    this.#git = createGitHttpHandler({
      projectRoot: options.projectRoot,
      authorise: (credentials) => credentials?.password === options.token,
      onPush: () => {
        if (!this.announces) return undefined;
        return (updates) => {
          const sending = this.#announce(updates).finally(() => this.#announcing.delete(sending));
          this.#announcing.add(sending);
        };
      },
    });
  }

  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', resolve);
    });
    const address = this.#server.address();
    this.#port = typeof address === 'object' && address !== null ? address.port : port;
  }

  get origin(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** The clone URL, without credentials. */
  get cloneUrl(): string {
    return `${this.origin}/${this.#name}.git`;
  }

  /** The clone URL with which git may read and push without asking. */
  get pushUrl(): string {
    return this.cloneUrl.replace('http://', `http://floe:${this.#options.token}@`);
  }

  /** The bare repository on disk. */
  get bareDir(): string {
    return join(this.#options.projectRoot, `${this.#name}.git`);
  }

  get #name(): string {
    return this.#options.repository.split('/')[1] ?? '';
  }

  /** The newest status of each context of a commit. */
  statusOf(sha: string, context: string): PostedStatus | undefined {
    return this.statuses.findLast((status) => status.sha === sha && status.context === context);
  }

  /** Pushes within `work` are not announced, now or later. */
  async silently<Result>(work: () => Promise<Result>): Promise<Result> {
    const before = this.announces;
    this.announces = false;
    try {
      return await work();
    } finally {
      this.announces = before;
    }
  }

  /** Sends a webhook like GitHub; `change` may change the body before it is signed, `tamper` anything afterwards. */
  async deliver(
    update: PushedRef,
    options: {
      readonly id?: string;
      readonly secret?: string;
      readonly change?: (body: string) => string;
      readonly tamper?: (request: { body: string; headers: Record<string, string> }) => void;
    } = {},
  ): Promise<Response> {
    if (this.webhookUrl === undefined) throw new Error('the forge has no webhook URL yet');
    const id = options.id ?? randomUUID();
    const payload = JSON.stringify(this.#pushPayload(update));
    const body = options.change?.(payload) ?? payload;
    const signature = createHmac('sha256', options.secret ?? this.#options.webhookSecret)
      .update(body)
      .digest('hex');
    const request = {
      body,
      headers: {
        'content-type': 'application/json',
        'user-agent': 'GitHub-Hookshot/local',
        'x-github-event': 'push',
        'x-github-delivery': id,
        'x-hub-signature-256': `sha256=${signature}`,
      } as Record<string, string>,
    };
    options.tamper?.(request);
    const response = await fetch(this.webhookUrl, { method: 'POST', body: request.body, headers: request.headers });
    this.deliveries.push({ id, ref: update.ref, after: update.after ?? ZERO, at: Date.now(), answer: response.status });
    return response;
  }

  async #announce(updates: readonly RefUpdate[]): Promise<void> {
    for (const update of updates) {
      if (this.webhookUrl === undefined) return;
      // A server that does not answer misses the push: like GitHub, the forge does not retry.
      await this.deliver(update).then(
        async (response) => await response.arrayBuffer(),
        () => undefined,
      );
    }
  }

  #pushPayload({ ref, before, after }: PushedRef): object {
    const [owner = '', name = ''] = this.#options.repository.split('/');
    return {
      ref,
      before: before ?? ZERO,
      after: after ?? ZERO,
      created: before === undefined,
      deleted: after === undefined,
      forced: false,
      base_ref: null,
      compare: `${this.origin}/${this.#options.repository}/compare`,
      commits: [],
      head_commit: null,
      pusher: { name: owner, email: `${owner}@example.org` },
      sender: { login: owner, id: 1, type: 'User' },
      repository: {
        id: 1,
        node_id: 'R_1',
        name,
        full_name: this.#options.repository,
        private: true,
        owner: { name: owner, login: owner, id: 1 },
        html_url: `${this.origin}/${this.#options.repository}`,
        clone_url: this.cloneUrl,
        default_branch: 'main',
      },
    };
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const path = new URL(request.url ?? '/', this.origin).pathname;
    const status = new RegExp(`^/repos/${this.#options.repository}/statuses/([0-9a-f]{40})$`).exec(path);
    const combined = new RegExp(`^/repos/${this.#options.repository}/commits/([0-9a-f]{40})/status$`).exec(path);
    if (status?.[1] !== undefined && request.method === 'POST') void this.#takeStatus(status[1], request, response);
    else if (combined?.[1] !== undefined && request.method === 'GET' && this.isReadable) this.#showStatuses(combined[1], request, response);
    else this.#git(request, response);
  }

  /** A problem that the API answers with instead of what it was asked for. */
  #refusal(request: IncomingMessage): { readonly status: number; readonly message: string; readonly headers?: Record<string, string> } | undefined {
    if (this.failWith !== undefined) return { message: 'as told', ...this.failWith };
    return (request.headers.authorization ?? '').endsWith(this.#options.token) ? undefined : { status: 401, message: 'Bad credentials' };
  }

  #showStatuses(sha: string, request: IncomingMessage, response: ServerResponse): void {
    const refusal = this.#refusal(request);
    if (refusal !== undefined) return answerJson(response, refusal.status, { message: refusal.message }, refusal.headers);
    const last = new Map(this.statuses.filter((status) => status.sha === sha).map((status) => [status.context, status]));
    const statuses = [...last.values()].map(({ context, state, description, targetUrl }) => ({
      context,
      state,
      description,
      target_url: targetUrl ?? null,
    }));
    answerJson(response, 200, { sha, total_count: statuses.length, statuses });
  }

  async #takeStatus(sha: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const refusal = this.#refusal(request);
    if (refusal !== undefined) return answerJson(response, refusal.status, { message: refusal.message }, refusal.headers);
    const fault = this.faults.shift();
    if (fault?.answer !== undefined) answerJson(response, fault.answer, { message: 'as told' });
    if (fault !== undefined && fault.recorded === undefined) return;
    await fault?.recorded;
    const body = JSON.parse(Buffer.concat(chunks).toString('utf8')) as { context: string; state: string; description?: string; target_url?: string };
    this.statuses.push({
      sha,
      context: body.context,
      state: body.state,
      description: body.description ?? '',
      targetUrl: body.target_url,
      at: Date.now(),
    });
    if (fault === undefined) answerJson(response, 201, { id: this.statuses.length, ...body });
  }

  /** The accepted password and bearer token. */
  get token(): string {
    return this.#options.token;
  }

  /** Stops listening, like a forge that is down; {@link listen} on the same port ends that. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#announcing);
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

function answerJson(response: ServerResponse, status: number, body: object, headers: Record<string, string> = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}
