import { AsyncLocalStorage } from 'node:async_hooks';
import { ROLES, type Role } from '@floe/model';
import { releaserOf } from '@floe/pipeline';
import { generateKeyPem, signerFromPem, silentLogger, systemClock } from '@floe/runtime';
import { METHOD_KINDS, type AuditEntry, type Repository, type Store, type TokenHolder } from '@floe/store';
import { fleetView } from '@floe/views/fixtures';
import type { Hono } from 'hono';
import * as v from 'valibot';
import { createApp, type AppDeps } from '../app.ts';
import { describedRoutes, type DescribedRoute } from '../openapi/document.ts';
import { trustProxies } from '../http/client-address.ts';

/** Some methods of some groups of the store. */
export type FakeStore = { readonly [Group in Exclude<keyof Store, 'decide'>]?: Partial<Store[Group]> };

export interface FakeAppOptions extends Omit<Partial<AppDeps>, 'store' | 'reader'> {
  readonly store?: FakeStore;
  readonly reader?: Partial<AppDeps['reader']>;
}

export interface FakeApp {
  readonly app: Hono;
  /** What was asked of the store, in order: `hosts.get`. Not the notes of when a token was used. */
  readonly calls: readonly string[];
  /** Of these, what was not asked as for a person. */
  readonly callsOfServer: readonly string[];
  /** What was written to the audit log. */
  readonly audit: readonly AuditEntry[];
  /** What was refused, so often. */
  readonly refusals: readonly (AuditEntry & { readonly count: number })[];
  /** Hosts that are to be looked at again. */
  readonly changed: readonly string[];
  /** Hosts whose connection was ended, with the reason. */
  readonly disconnected: readonly string[];
  /** Asks as the holder of the token, unless `headers` say otherwise. */
  readonly ask: (method: string, path: string, body?: unknown, headers?: Readonly<Record<string, string>>) => Promise<Answer>;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** Of the error, where the answer is one. */
  readonly code: string | undefined;
  readonly message: string | undefined;
  readonly body: unknown;
}

/** Of ada, an administrator. */
export const FAKE_TOKEN = apiTokenOf('ada');
/** Of `a-viewer`, `a-operator` and so on. */
export function fakeTokenOf(role: Role): string {
  return apiTokenOf(role);
}
/** In the form of an API token: what has another is not looked up. */
export function apiTokenOf(name: string): string {
  return `floe_${name.padEnd(32, '-')}`;
}
async function fakeHolder(token: string): Promise<TokenHolder | undefined> {
  if (token === FAKE_TOKEN) return await Promise.resolve({ name: 'ada', role: 'administrator', person: 'ada' });
  const role = ROLES.find((each) => token === fakeTokenOf(each));
  return role === undefined ? undefined : { name: `a-${role}`, role, person: `a-${role}` };
}
export const FAKE_REPOSITORY: Repository = {
  id: 'repository',
  url: 'https://forge.example/fleet.git',
  branch: 'main',
  ref: 'refs/heads/main',
  sequence: 7,
  hintCount: 0,
};

/** The app itself over a store that answers what a test says; whatever else is asked of it fails the test. */
export function fakeApp(options: FakeAppOptions = {}): FakeApp {
  const calls: string[] = [];
  const callsOfServer: string[] = [];
  const audit: AuditEntry[] = [];
  const refusals: (AuditEntry & { readonly count: number })[] = [];
  const changed: string[] = [];
  const disconnected: string[] = [];
  const store = notedStore(
    { calls, callsOfServer, audit },
    {
      ...options.store,
      hosts: { renamed: async () => await Promise.resolve(undefined), ...options.store?.hosts },
      audit: {
        append: async (entry) => void (await Promise.resolve(audit.push(entry))),
        countRefusals: async (refusal, count) => void (await Promise.resolve(refusals.push({ ...refusal, count }))),
        ...options.store?.audit,
      },
      tokens: {
        findApiToken: fakeHolder,
        noteUse: async () => await Promise.resolve(),
        administrators: async () => await Promise.resolve(['ada']),
        ...options.store?.tokens,
      },
    },
  );
  const addresses = trustProxies([]);
  const fleet = fleetView();
  const { reader, ...rest } = options;
  const app = createApp({
    repository: FAKE_REPOSITORY,
    feed: { subscribe: () => ({ [Symbol.dispose]: () => undefined }) },
    clock: systemClock,
    logger: silentLogger,
    auditHeads: { verify: async () => await Promise.resolve({ entries: 2, heads: 1, head: undefined, broken: undefined, unsigned: [] }) },
    exportLines: async function* () {
      yield await Promise.resolve('{}');
    },
    statements: {
      appendEnrolment: async () => await Promise.resolve(),
      appendRevocation: async () => await Promise.resolve(),
      appendRename: async () => await Promise.resolve(),
    },
    hub: { disconnect: (host, _code, reason) => void disconnected.push(`${host}: ${reason}`), session: () => undefined },
    serverSigner: signerFromPem('server-1', generateKeyPem()),
    releaser: releaserOf(signerFromPem('release-1', generateKeyPem())),
    trust: { serverUrl: 'http://localhost', releaseKeys: [], serverKeys: [], substituter: 'http://localhost/cache', cachePublicKeys: [] },
    operators: undefined,
    onHostChanged: (host) => void changed.push(host),
    publicUrl: 'http://localhost',
    // Without a port there is no other end of a connection.
    addresses: { ...addresses, ofRequest: (c) => c.req.header('x-forwarded-for') ?? '192.0.2.1' },
    webhooks: {
      store,
      repository: FAKE_REPOSITORY,
      secrets: [],
      nameSettings: (message) => message,
      clock: systemClock,
      logger: silentLogger,
      forge: 'github',
      nameAtForge: undefined,
      followsTesting: false,
    },
    cacheDir: undefined,
    // Any folder without a page.
    dashboardDir: import.meta.dirname,
    notReady: async () => await Promise.resolve([]),
    notices: () => [],
    notifications: { list: async () => await Promise.resolve([]), test: async () => await Promise.resolve(undefined) },
    probes: { list: () => [], test: async () => await Promise.resolve(undefined) },
    collectCache: async () => await Promise.reject(new Error('the test does not say what the cache has')),
    cacheElsewhere: undefined,
    keepInCache: async () => await Promise.resolve(true),
    serverClock: { trouble: () => undefined, accept: () => undefined },
    onClockAccepted: () => undefined,
    ...rest,
    store,
    reader: {
      fleet: async () => await Promise.resolve(fleet),
      host: async (host) => await Promise.resolve(fleet.hosts.find((each) => each.host === host)),
      why: async () => await Promise.resolve(undefined),
      revisions: async () => await Promise.resolve([]),
      revision: async () => await Promise.resolve(undefined),
      rollout: async () => await Promise.resolve(undefined),
      rolloutHosts: async () => await Promise.resolve(undefined),
      ...reader,
    },
  });
  return {
    app,
    calls,
    callsOfServer,
    audit,
    refusals,
    changed,
    disconnected,
    async ask(method, path, body, headers = {}) {
      const request = {
        method,
        headers: { authorization: `Bearer ${FAKE_TOKEN}`, 'content-type': 'application/json', ...headers },
        ...(body === undefined || method === 'GET' ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      };
      const response = await app.request(path, request);
      const text = await response.text();
      const parsed: unknown = response.headers.get('content-type')?.startsWith('application/json') === true ? JSON.parse(text) : text;
      if (response.ok) expectDescribed(describedRoutes(app.routes), { method, path, status: response.status, parsed });
      const error = (parsed as { error?: { code: string; message: string } } | null)?.error;
      return { status: response.status, headers: response.headers, code: error?.code, message: error?.message, body: parsed };
    },
  };
}

/** Whatever a test asks for, what it gets is what the document of the API says. */
function expectDescribed(
  routes: readonly DescribedRoute[],
  { method, path, status, parsed }: { readonly method: string; readonly path: string; readonly status: number; readonly parsed: unknown },
): void {
  const [name = ''] = path.split('?');
  const route = routes.find((each) => each.method === method && new RegExp(`^${each.path.replaceAll(/:\w+/g, '[^/]+')}$`).test(name));
  const answer = route?.parts.find((part) => part.kind === 'answer')?.answer;
  if (answer === undefined) return;
  if (status !== answer.status) throw new Error(`${method} ${path} answers ${status}, and its description says ${answer.status}`);
  if (answer.body !== undefined && answer.mediaType === 'application/json') v.parse(answer.body, parsed);
}

/** Also says which calls the real store would not take: a decision beside `decide`, and within it a question beside its transaction. */
function notedStore(notes: { readonly calls: string[]; readonly callsOfServer: string[]; readonly audit: AuditEntry[] }, fakes: FakeStore): Store {
  const isForPeople = new AsyncLocalStorage<true>();
  const isDeciding = new AsyncLocalStorage<true>();
  const storeFor = (isOfDecision: boolean): Store =>
    new Proxy({} as Store, {
      get(_target, group: string) {
        if (group === 'forPeople') return async (work: () => Promise<unknown>) => await isForPeople.run(true, work);
        if (group === 'decide') return decide;
        const methods = fakes[group as keyof FakeStore] as Readonly<Record<string, (...args: readonly unknown[]) => unknown>> | undefined;
        return new Proxy(
          {},
          {
            get:
              (_methods, name: string) =>
              (...args: readonly unknown[]) => {
                const call = `${group}.${name}`;
                if (name !== 'noteUse') notes.calls.push(call);
                if (isForPeople.getStore() === undefined) notes.callsOfServer.push(call);
                if (isDecision(group, name) && !isOfDecision) throw new Error(`${call} is a decision: it is made in store.decide()`);
                if (isDeciding.getStore() === true && !isOfDecision) throw new Error(`${call} would wait for the decision that asks it`);
                const method = methods?.[name];
                if (method === undefined) throw new Error(`the test does not say what ${group}.${name} answers`);
                return method(...args);
              },
          },
        );
      },
    });
  const deciding = storeFor(true);
  const decide: Store['decide'] = async (work) => {
    const { result, entries } = await isDeciding.run(true, async () => await work(deciding));
    notes.audit.push(...entries);
    return result;
  };
  return storeFor(false);
}

function isDecision(group: string, name: string): boolean {
  const kinds: Readonly<Record<string, string>> | undefined = Object.hasOwn(METHOD_KINDS, group)
    ? METHOD_KINDS[group as keyof typeof METHOD_KINDS]
    : undefined;
  return kinds?.[name] === 'decision';
}
