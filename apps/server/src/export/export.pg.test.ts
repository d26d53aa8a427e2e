import { ExportEnd, ExportLine, signedBytes, type ExportLineOf } from '@floe/protocol';
import { lineHash, parseChained, verifySignature } from '@floe/runtime';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestServer, TestAgent, TOPLEVEL, type TestServer } from '../test/test-server.ts';

let server: TestServer;
beforeAll(async () => void (server = await startTestServer()));
afterAll(async () => await server[Symbol.asyncDispose]());

test('R28: an export is chained line by line and signed by the server, says what the server has, and holds no secret', async () => {
  const { store } = server.context;
  const ada = await server.enrol('ada', TOPLEVEL);
  await using _agent = await TestAgent.welcome(server.url, ada, {});
  for (let n = 0; n < 450; n += 1) await store.audit.append({ at: n, actor: 'ada', action: 'retry', subject: 'ws1', detail: `näh ${n} \u2028` });
  await store.hostStatements.save([{ host: ada.host, kind: 'newest', epoch: 0, seq: 1, publicKey: 'k', envelope: 'no envelope', at: 1 }]);
  const response = await server.request('/api/export');
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/jsonl');
  const text = await response.text();
  // Bytes that no terminal, editor or transport changes.
  expect(text).toMatch(/^[\n\x20-\x7e]*$/);
  expect(text).not.toContain(server.token);
  const rows = text.trimEnd().split('\n');
  let hash = '';
  const lines = rows.map((row) => {
    const chained = parseChained(row);
    if (chained === undefined) throw new Error(row);
    if (hash !== '' || row === rows[0]) expect(chained.hash).toBe(lineHash(hash, chained.body));
    if (row !== rows.at(-1)) hash = chained.hash;
    return v.parse(ExportLine, JSON.parse(chained.body));
  });
  const of = <Kind extends ExportLine['kind']>(kind: Kind): ExportLineOf<Kind>[] =>
    lines.filter((line): line is ExportLineOf<Kind> => line.kind === kind);
  const [end] = of('end');
  const key = of('key').find(({ role }) => role === 'server')?.publicKey ?? '';
  expect(verifySignature(key, signedBytes('floe/export', Buffer.from(end?.signed ?? '')), end?.signature ?? '')).toBe(true);
  expect(v.parse(ExportEnd, JSON.parse(end?.signed ?? ''))).toMatchObject({ lines: lines.length - 1, hash });
  expect(of('header')).toMatchObject([{ repository: server.repository.url, ref: 'refs/heads/main', releasesFrom: 'log' }]);
  expect(of('host')).toMatchObject([{ host: 'ada', publicKey: ada.signer.publicKey, machineId: ada.machineId }]);
  expect(of('unreadable')).toMatchObject([{ what: 'a signed report of ada' }]);
  expect(of('revision')).toMatchObject([{ sequence: 1, state: 'PUBLISHED', isHandover: false }]);
  expect(
    of('audit')
      .filter(({ action }) => action === 'retry')
      .map(({ detail }) => detail),
  ).toEqual(Array.from({ length: 450 }, (_, n) => `näh ${n} \u2028`));
});

test('one token is sent one export at a time, and a reader that leaves ends its own', async () => {
  const first = await server.request('/api/export');
  // The first piece of it is there; the rest waits for its reader.
  const reader = first.body?.getReader();
  await reader?.read();
  const second = await server.request('/api/export');
  await (second.status === 429 ? second.text() : second.body?.cancel());
  await reader?.cancel();
  await expect.poll(async () => (await server.request('/api/export')).status, { timeout: 30_000 }).toBe(200);
});
