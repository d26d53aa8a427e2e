import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditVerificationView } from '@floe/protocol';
import { generateKeyPem, signerFromPem, silentLogger, systemClock } from '@floe/runtime';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AuditHeads } from './audit-heads.ts';
import { startTestServer, type TestServer } from './test/test-server.ts';

// The end of the audit log is signed beside the statements: who can write to the database alone cannot cut it off.

let server: TestServer;
let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-heads-'));
  server = await startTestServer();
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

test('the log holds over the API, and what was cut off from its end is missed by its signed end', async () => {
  const { store } = server.context;
  const entry = { at: Date.now(), actor: 'ada', action: 'pin', subject: 'ws1', detail: 'why' };
  for (let n = 0; n < 3; n += 1) await store.audit.append(entry);
  const response = await server.request('/api/audit/verification');
  expect(v.parse(AuditVerificationView, await response.json())).toMatchObject({ entries: 3, broken: null, unsigned: [] });

  const signer = signerFromPem('release-1', generateKeyPem());
  const deps = { dir, signer, clock: systemClock, logger: silentLogger, keepMs: 1e12 };
  const before = new AuditHeads({ ...deps, store });
  await before.note();
  await before.note();
  expect(await readdir(dir)).toHaveLength(1);
  expect(await before.verify()).toMatchObject({ entries: 3, heads: 1, broken: undefined, unsigned: [] });
  // A database that has lost the last entry, or has another one in its place.
  const head = await store.audit.head();
  const cut = {
    audit: {
      head: async () => await store.audit.head(),
      check: async (query: Parameters<typeof store.audit.check>[0]) => {
        const heads = query.heads.map((each) => ({ ...each, id: each.id + 1 }));
        return await store.audit.check({ ...query, heads });
      },
    },
  };
  expect((await new AuditHeads({ ...deps, store: cut }).verify()).broken).toMatchObject({ id: (head?.id ?? 0) + 1, why: 'end-missing' });

  // What another key signed, or nobody, is no end of the log, and is named.
  const [name = ''] = await readdir(dir);
  await new AuditHeads({ ...deps, store, signer: signerFromPem('release-1', generateKeyPem()) }).note();
  expect(await before.verify()).toMatchObject({ heads: 0, unsigned: [name] });
  await writeFile(join(dir, name), '{}');
  expect((await before.verify()).unsigned).toEqual([name]);
});
