import type { FleetEvent, FleetView, ReportView, RevisionView } from '@floe/protocol';
import { serve, type ServerType } from '@hono/node-server';
import { Hono, type Context } from 'hono';
import { deleteCookie, getCookie, setCookie } from 'hono/cookie';
import { streamSSE } from 'hono/streaming';
import type { AddressInfo } from 'node:net';
import { pageRoutes } from '../../apps/server/src/routes/page.ts';

const COOKIE = 'floe_session';
type Change = FleetEvent extends infer E ? (E extends FleetEvent ? Omit<E, 'version' | 'at'> : never) : never;

export interface FixtureServerOptions {
  readonly dashboardDir: string;
  readonly fleet: FleetView;
  readonly token?: string;
}

/** Answers the page as floe-server does, from canned views; tests change them and take the server away. */
export class FixtureServer implements AsyncDisposable {
  fleet: FleetView;
  reports: readonly ReportView[] = [];
  /** By host, series and seq: `ada 0 5`. */
  logs: ReadonlyMap<string, string> = new Map();
  revisions: readonly RevisionView[] = [];
  /** What people decided: `DELETE /api/hosts/ada/quarantine {"reason":…}`. */
  readonly decisions: string[] = [];
  /** What the next decisions are refused with, as those of people who may not. */
  refusal: string | undefined;
  readonly token: string;
  readonly #dashboardDir: string;
  readonly #listeners = new Set<(event: FleetEvent | 'end' | 'reset') => void>();
  #server: ServerType | undefined;
  #port = 0;

  constructor(options: FixtureServerOptions) {
    this.fleet = options.fleet;
    this.token = options.token ?? 'floe-test-token';
    this.#dashboardDir = options.dashboardDir;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}/`;
  }

  /** The number of pages that follow the fleet now. */
  get followers(): number {
    return this.#listeners.size;
  }

  /** Listens, again on the same port after `stop`. */
  async start(): Promise<this> {
    const { promise, resolve, reject } = Promise.withResolvers<AddressInfo>();
    this.#server = serve({ fetch: this.#app().fetch, hostname: '127.0.0.1', port: this.#port }, resolve);
    this.#server.once('error', reject);
    this.#port = (await promise).port;
    return this;
  }

  /** Ends every connection, and listens no more. */
  async stop(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#listeners.forEach((listener) => listener('end'));
    const { promise, resolve } = Promise.withResolvers<undefined>();
    server.close(() => resolve(undefined));
    if ('closeAllConnections' in server) server.closeAllConnections();
    await promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Makes changes and tells them to the pages. */
  change(...changes: readonly Change[]): void {
    const hosts = new Map(this.fleet.hosts.map((host) => [host.host, host]));
    let { version, repository, revision } = this.fleet;
    const events = changes.map((change): FleetEvent => {
      version += 1;
      if (change.type === 'host') hosts.set(change.host.host, change.host);
      if (change.type === 'revision') revision = change.revision;
      if (change.type === 'repository') repository = change.repository;
      return { ...change, version, at: Date.now() };
    });
    this.fleet = { ...this.fleet, version, repository, revision, hosts: [...hosts.values()] };
    for (const listener of this.#listeners) for (const event of events) listener(event);
  }

  /** Another fleet altogether: the pages get a new snapshot, as from a server that forgot a host. */
  show(fleet: FleetView): void {
    this.fleet = { ...fleet, version: this.fleet.version + 1 };
    for (const listener of this.#listeners) listener('reset');
  }

  #app(): Hono {
    const app = new Hono();
    app.post('/api/session', async (c) => {
      const body: { token?: unknown } = await c.req.json();
      if (body.token !== this.token) return unauthenticated(c);
      setCookie(c, COOKIE, this.token, { httpOnly: true, sameSite: 'Strict', path: '/' });
      return c.body(null, 204);
    });
    app.delete('/api/session', (c) => {
      deleteCookie(c, COOKIE, { path: '/' });
      return c.body(null, 204);
    });
    app.use('/api/*', async (c, next) => (getCookie(c, COOKIE) === this.token ? await next() : unauthenticated(c)));
    app.get('/api/hosts/:host/reports', (c) => c.json(this.reports.filter((report) => report.host === c.req.param('host'))));
    app.get('/api/hosts/:host/reports/:series/:seq/log', (c) => {
      const { host, series, seq } = c.req.param();
      const log = this.logs.get(`${host} ${series} ${seq}`);
      return log === undefined
        ? c.json({ error: { code: 'LOG_UNKNOWN', message: 'there is no log of this report any more' } }, 404)
        : c.json({ log });
    });
    app.get('/api/revisions', (c) => {
      const before = Number(c.req.query('before') ?? Number.POSITIVE_INFINITY);
      return c.json(this.revisions.filter(({ sequence }) => sequence < before).slice(0, Number(c.req.query('limit'))));
    });
    app.get('/api/revisions/:sha', (c) => {
      const found = this.revisions.find((revision) => revision.sha.startsWith(c.req.param('sha')));
      return found === undefined
        ? c.json({ error: { code: 'REVISION_UNKNOWN', message: `no revision starts with ${c.req.param('sha')}` } }, 404)
        : c.json(found);
    });
    app.on(['POST', 'DELETE'], ['/api/hosts/*', '/api/repository/accept'], async (c) => {
      if (this.refusal !== undefined) return c.json({ error: { code: 'FORBIDDEN', message: this.refusal } }, 403);
      this.decisions.push(`${c.req.method} ${c.req.path} ${await c.req.text()}`);
      return c.body(null, 204);
    });
    app.get('/api/events', (c) => this.#follow(c));
    app.route('/', pageRoutes(this.#dashboardDir));
    return app;
  }

  #follow(c: Context) {
    return streamSSE(c, async (stream) => {
      const queue: FleetEvent[] = [];
      let wake: (() => void) | undefined;
      const ended = new AbortController();
      let isReset = true;
      const listener = (event: FleetEvent | 'end' | 'reset') => {
        if (event === 'end') ended.abort();
        else if (event === 'reset') isReset = true;
        else queue.push(event);
        wake?.();
      };
      this.#listeners.add(listener);
      stream.onAbort(() => listener('end'));
      while (!ended.signal.aborted) {
        if (isReset) {
          isReset = false;
          await stream.writeSSE({ event: 'snapshot', data: JSON.stringify({ ...this.fleet, serverTime: Date.now() }) });
        }
        for (const event of queue.splice(0)) await stream.writeSSE({ event: 'change', data: JSON.stringify(event) });
        await new Promise<void>((resolve) => {
          wake = resolve;
          if (queue.length > 0 || isReset || ended.signal.aborted) resolve();
        });
      }
      this.#listeners.delete(listener);
    });
  }
}

function unauthenticated(c: Context) {
  return c.json({ error: { code: 'UNAUTHENTICATED', message: 'the API token is unknown or revoked' } }, 401);
}
