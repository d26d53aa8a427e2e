import { NOTHING_OBSERVED, type CommitSha, type Role } from '@floe/model';
import type { FleetEvent, FleetView, ReportView, RevisionView, RolloutHostsView, WhyView } from '@floe/protocol';
import type { FleetHost, HostRow, ListedReport, Revision, TokenHolder } from '@floe/store';
import { SHA } from '@floe/views/fixtures';
import { serve, type ServerType } from '@hono/node-server';
import { Hono } from 'hono';
import type { AddressInfo } from 'node:net';
import { apiTokenOf, FAKE_REPOSITORY, fakeApp, type FakeStore } from '../../apps/server/src/test/fake-app.ts';

type Change = FleetEvent extends infer E ? (E extends FleetEvent ? Omit<E, 'version' | 'at'> : never) : never;

export interface FixtureServerOptions {
  readonly dashboardDir: string;
  readonly fleet: FleetView;
  readonly token?: string;
  /** Of whoever signs in; an administrator by default. */
  readonly role?: Role;
}

/** floe-server's own app, which answers from canned views; tests change them and take the server away. */
export class FixtureServer implements AsyncDisposable {
  fleet: FleetView;
  reports: readonly ReportView[] = [];
  /** By host, series and seq: `ada 0 5`. */
  logs: ReadonlyMap<string, string> = new Map();
  revisions: readonly RevisionView[] = [];
  /** What stands between hosts and the newest commit. */
  why: WhyView = [];
  /** Who is how far in the rings. */
  ringHosts: RolloutHostsView['hosts'] = [];
  /** What people decided: `DELETE /api/hosts/ada/quarantine {"reason":…}`. */
  readonly decisions: string[] = [];
  /** What the next decisions are refused with, as those of people who may not. */
  refusal: string | undefined;
  readonly token: string;
  readonly #holder: TokenHolder;
  readonly #dashboardDir: string;
  readonly #listeners = new Set<(event: FleetEvent | 'reset') => void>();
  /** Kept when the server is restarted. */
  readonly #sessions = new Set<string>();
  #server: ServerType | undefined;
  #port = 0;

  constructor(options: FixtureServerOptions) {
    this.fleet = options.fleet;
    this.token = options.token ?? apiTokenOf('test');
    this.#holder = { name: 'ada', role: options.role ?? 'administrator', person: 'ada' };
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

  /** floe-server's own app, over a store and a reader that answer from the canned views. */
  #app(): Hono {
    const server = fakeApp({
      dashboardDir: this.#dashboardDir,
      feed: {
        subscribe: (listener) => {
          this.#listeners.add(listener);
          return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
        },
      },
      reader: {
        fleet: async () => await Promise.resolve({ ...this.fleet, serverTime: Date.now() }),
        host: async (host) => await Promise.resolve(this.fleet.hosts.find((each) => each.host === host)),
        why: async () => await Promise.resolve(this.why),
        rolloutHosts: async () => await Promise.resolve({ sha: SHA as CommitSha, hosts: this.ringHosts }),
        revisions: async ({ limit, before = Number.POSITIVE_INFINITY }) =>
          await Promise.resolve(this.revisions.filter(({ sequence }) => sequence < before).slice(0, limit)),
        revision: async ({ sha }) => await Promise.resolve(this.revisions.find((revision) => revision.sha === sha)),
      },
      store: this.#store(),
    });
    const app = new Hono();
    // The decision itself has its own tests, on a database: here counts what the page sends, and shows of the answer.
    app.post('/api/rollout/*', async (c) => {
      if (this.refusal !== undefined) return c.json({ error: { code: 'PAUSE_CHANGED', message: this.refusal } }, 409);
      this.decisions.push(`${c.req.method} ${c.req.path} ${await c.req.text()}`);
      return c.json({ outcome: 'done', message: 'the server says what comes of it.' });
    });
    app.on(['POST', 'DELETE'], ['/api/hosts/*', '/api/repository/accept'], async (c, next) => {
      if (this.refusal !== undefined) return c.json({ error: { code: 'FORBIDDEN', message: this.refusal } }, 403);
      const decision = `${c.req.method} ${c.req.path} ${await c.req.raw.clone().text()}`;
      await next();
      if (c.res.ok) this.decisions.push(decision);
      return undefined;
    });
    app.route('/', server.app);
    return app;
  }

  #store(): FakeStore {
    const sessions = this.#sessions;
    return {
      tokens: {
        findApiToken: async (token) => await Promise.resolve(token === this.token ? this.#holder : undefined),
        findSession: async (secret) => await Promise.resolve(sessions.has(secret) ? this.#holder : undefined),
        createSession: async (secret, token) => await Promise.resolve(token === this.token && sessions.add(secret).has(secret)),
        endSession: async (secret) => await Promise.resolve(sessions.delete(secret)),
        voidEnrolmentTokens: async () => await Promise.resolve(),
      },
      hosts: {
        get: async (host) => await Promise.resolve(this.#row(host)),
        fleet: async (_repository, [host] = []) => await Promise.resolve({ rollout: undefined, hosts: this.#decidable(host) }),
        retry: async () => await Promise.resolve(4),
        revoke: async () => await Promise.resolve(),
        forget: async () => await Promise.resolve(true),
      },
      revisions: {
        byShaPrefix: async (_repository, prefix) =>
          await Promise.resolve(this.revisions.filter(({ sha }) => sha.startsWith(prefix)).map(({ sha }) => ({ sha }) as Revision)),
        newest: async () => await Promise.resolve(undefined),
        newestPublished: async () => await Promise.resolve(undefined),
      },
      reports: {
        list: async (host) => await Promise.resolve(this.reports.filter((report) => report.host === host) as unknown as ListedReport[]),
        log: async ({ host, series, seq }) => await Promise.resolve(this.logs.get(`${host} ${series} ${seq}`)),
      },
      releases: {
        commitsOf: async (systems) =>
          await Promise.resolve(
            systems.flatMap(({ host, toplevel, asOf }) => {
              const commit = this.reports.find((report) => report.host === host && report.toplevel === toplevel)?.commit;
              return commit == null ? [] : [{ host, toplevel, asOf, ...commit, subject: commit.subject ?? undefined }];
            }),
          ),
      },
      repositories: {
        get: async () => await Promise.resolve({ ...FAKE_REPOSITORY, held: this.fleet.repository.held ?? undefined }),
        allow: async () => await Promise.resolve(true),
        wake: async () => await Promise.resolve(),
      },
    };
  }

  /** The host as the database has it, with as much as decisions ask for. */
  #row(name: string | undefined): HostRow | undefined {
    const host = this.fleet.hosts.find((each) => each.host === name);
    if (host === undefined) return undefined;
    const toplevel = host.desired?.toplevel;
    return {
      host: host.host,
      publicKey: host.isEnrolled ? 'key' : undefined,
      state: 'SUCCEEDED',
      stateToplevel: toplevel,
      observed: NOTHING_OBSERVED,
    } as HostRow;
  }

  /** What it should run is quarantined, and it runs something else: there is something to retry, and to resume. */
  #decidable(name: string | undefined): FleetHost[] {
    const row = this.#row(name);
    if (row?.stateToplevel === undefined) return [];
    const release = { id: 'release', host: row.host, sequence: 1, toplevel: row.stateToplevel };
    return [{ row, desired: { kind: 'quarantined', release } } as FleetHost];
  }
}
