import { beginRollout, DEFAULT_POLICY, NO_ORDERS } from '@floe/model';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { seal } from '@floe/protocol';
import { generateKeyPem, signerFromPem } from '@floe/runtime';
import { reportView, revisionView } from '@floe/views/fixtures';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { describe, expect, test } from 'vitest';
import { FAKE_REPOSITORY, fakeApp, type FakeAppOptions } from '../test/fake-app.ts';
import { describeApi, describedRoutes } from './document.ts';

// The document is made from the routes: what is tried here is that every route says enough of itself, and the truth.

interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly security: readonly object[];
  readonly parameters: readonly { readonly name: string; readonly in: string; readonly required: boolean; readonly schema: object }[];
  readonly requestBody?: { readonly content: Readonly<Record<string, { readonly schema: object }>> };
  readonly responses: Readonly<Record<string, { readonly content?: Readonly<Record<string, { readonly schema: object }>> }>>;
}
interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

const REPORT = reportView('ws10');
const ROLLOUT = { state: 'WAITING_APPROVAL', course: beginRollout(1), policy: DEFAULT_POLICY, orders: NO_ORDERS, weaker: [] };
const HANDOVER = { repositoryId: FAKE_REPOSITORY.id, contentHash: 'ab', by: 'ci', person: 'ci', at: 1, state: 'TAKEN', result: '' } as const;
const RELEASE = {
  version: 1,
  repository: FAKE_REPOSITORY.url,
  ref: FAKE_REPOSITORY.ref,
  commit: revisionView().sha,
  sequence: 3,
  host: 'ws10',
  toplevel: `/nix/store/${'a'.repeat(32)}-system`,
  narHash: 'sha256:0',
  closureSizeBytes: 1,
  system: 'x86_64-linux',
  issuedAt: 1,
  expiresAt: 2,
};
const ENVELOPE = JSON.stringify(seal(signerFromPem('release-1', generateKeyPem()), 'floe/release', RELEASE));
const DIRECTED = { id: 'release', host: RELEASE.host, sequence: RELEASE.sequence, toplevel: RELEASE.toplevel };
const HOST = { row: { host: RELEASE.host, publicKey: 'key', acceptedSequence: 3, epoch: 1 }, situation: { directed: DIRECTED } };
/** A server that has one of each thing. */
const ANSWERING: FakeAppOptions = {
  store: {
    hosts: {
      get: async () => await Promise.resolve({ host: 'ws10' } as never),
      fleet: async () => await Promise.resolve({ rollout: ROLLOUT as never, hosts: [HOST as never] }),
    },
    reports: { list: async () => await Promise.resolve([REPORT as never]), log: async () => await Promise.resolve('cups.service: failed') },
    releases: {
      commitsOf: async () => await Promise.resolve([]),
      toOffer: async () => await Promise.resolve({ releases: [{ envelope: ENVELOPE } as never], freshness: undefined }),
    },
    revisions: {
      get: async () => await Promise.resolve({ sha: revisionView().sha, state: 'PUBLISHED' } as never),
      byShaPrefix: async () => await Promise.resolve([{ sha: revisionView().sha } as never]),
    },
    handovers: {
      get: async (id) => await Promise.resolve({ ...HANDOVER, id }),
      systems: async () => await Promise.resolve(new Map()),
      revisionOf: async () => await Promise.resolve('r1'),
    },
    audit: {
      list: async () =>
        await Promise.resolve([
          { id: 1, at: 1, actor: 'ada', action: 'retry', subject: 'ws10', detail: 'why', refused: undefined },
          { id: 2, at: 1, actor: 'bo', action: 'retry', subject: 'ws10', detail: 'why', refused: { count: 3, lastAt: 5 } },
        ] as never),
    },
    tokens: {
      listApiTokens: async () => await Promise.resolve([{ name: 'ada', role: 'administrator' as const, createdAt: 1 } as never]),
    },
  },
  reader: {
    revisions: async () => await Promise.resolve([revisionView()]),
    revision: async () => await Promise.resolve(revisionView()),
    rolloutHosts: async () =>
      await Promise.resolve({
        sha: revisionView().sha as never,
        hosts: [{ host: 'ws10' as never, ring: 'all', countedAs: 'waiting', text: 'its user' }],
      }),
    rollout: async () => await Promise.resolve(revisionView()),
    why: async () => await Promise.resolve([{ rule: 'ring', text: 'ring all waits for canary', end: 'soak until 14:20' }]),
  },
};

const { app, ask } = fakeApp(ANSWERING);
const ROUTES = describedRoutes(app.routes);
const document = JSON.parse(JSON.stringify(describeApi(app.routes))) as Document;
const ajv = new Ajv2020({ strict: false, validateFormats: false });
ajv.addSchema({ $id: 'floe', ...document });
/** In the document a schema refers to others by their places in it. */
const valid = (schema: object, value: unknown): string => {
  const check = ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"floe#/')) as object);
  return check(value) ? '' : ajv.errorsText(check.errors);
};
const operationOf = (method: string, path: string): Operation | undefined =>
  document.paths[path.replaceAll(/:(\w+)/g, '{$1}')]?.[method.toLowerCase()];

describe.each(ROUTES)('$method $path', ({ method, path, parts }) => {
  const operation = operationOf(method, path);

  test('says what it does, what it answers, and each part of its path', () => {
    const how = "put answers('what it does', TheSchemaOfItsAnswer) of openapi/described.ts beside its requireAction()";
    expect(parts.filter(({ kind }) => kind === 'answer').length, how).toBe(1);
    expect(operation?.summary).not.toBe('');
    const named = [...path.matchAll(/:(\w+)/g)].map(([, name]) => name);
    const parse = 'parse its path, query and body by takes() of openapi/described.ts';
    expect(
      operation?.parameters.filter((each) => each.in === 'path').map(({ name }) => name),
      parse,
    ).toEqual(named);
    for (const { name, schema } of operation?.parameters ?? []) expect(Object.keys(schema), `${name}: ${parse}`).not.toEqual([]);
    if (method !== 'GET' && parts.some((part) => part.kind === 'input' && part.target === 'json')) expect(operation?.requestBody).toBeDefined();
  });

  test('describes its inputs so that what it refuses for its form is refused by the document', () => {
    const schema = operation?.requestBody?.content['application/json']?.schema;
    if (schema === undefined) return;
    for (const wrong of [null, 'text', 7, []]) expect(valid(schema, wrong), JSON.stringify(wrong)).not.toBe('');
  });
});

describe.each(ROUTES.filter(({ method, path }) => method === 'GET' && path !== '/api/events' && path !== '/api/export'))(
  '$method $path',
  ({ method, path }) => {
    test('answers as its description says', async () => {
      const values: Readonly<Record<string, string>> = { host: 'ws10', series: '0', seq: '5', sha: revisionView().sha, id: 'a'.repeat(36) };
      const answer = await ask(
        method,
        path.replaceAll(/:(\w+)/g, (_all, name: string) => values[name] ?? `give ${name} a value in this test`),
      );
      expect(answer.status, `let ANSWERING of this test answer it: ${answer.message}`).toBe(200);
      const schema = operationOf(method, path)?.responses[200]?.content?.['application/json']?.schema;
      expect(schema).toBeDefined();
      expect(valid(schema ?? {}, answer.body)).toBe('');
      // A schema that takes anything says nothing.
      expect(valid(schema ?? {}, null)).not.toBe('');
    });

    test('answers an error as the description says', async () => {
      const answer = await ask(method, path, undefined, { authorization: '' });
      expect(answer.status).toBe(401);
      expect(valid(operationOf(method, path)?.responses['default']?.content?.['application/json']?.schema ?? {}, answer.body)).toBe('');
    });
  },
);

describe('the document', () => {
  test('is served to whoever may read', async () => {
    expect((await ask('GET', '/api/openapi.json')).body).toEqual(document);
  });

  test('has an operation for each route of the API, and no other, with names of their own', () => {
    const operations = Object.values(document.paths).flatMap((each) => Object.values(each));
    expect(operations).toHaveLength(ROUTES.length);
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length);
    for (const { operationId } of operations) expect(operationId).toMatch(/^[a-z]+[A-Za-z]+$/);
  });

  test('refers only to what it holds, and holds only what is referred to', () => {
    const text = JSON.stringify(document);
    const referred = new Set([...text.matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)].map(([, name]) => name));
    expect(referred).toEqual(new Set(Object.keys(document.components.schemas)));
    expect(text).not.toContain('$defs');
  });

  test('says of each route who may, as its guard does', () => {
    for (const { method, path, parts } of ROUTES)
      expect(operationOf(method, path)?.security.length === 0).toBe(!parts.some(({ kind }) => kind === 'guard'));
  });
});

test('no route parses its input where the document does not see it', async () => {
  const folder = join(import.meta.dirname, '../routes');
  for (const name of await readdir(folder)) {
    if (name.includes('.test.')) continue;
    const text = await readFile(join(folder, name), 'utf8');
    expect(text, `${name}: use takes() of openapi/described.ts, which describes what it parses`).not.toContain('@hono/standard-validator');
  }
});
