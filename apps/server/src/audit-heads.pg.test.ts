import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AuditVerificationView } from '@floe/protocol';
import { createLogger, generateKeyPem, signerFromPem, silentLogger, systemClock } from '@floe/runtime';
import * as v from 'valibot';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { AuditHeads } from './audit-heads.ts';
import { MovedClock } from './test/moved-clock.ts';
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

const DAY_MS = 24 * 3600_000;
const decided = (detail: string, at = Date.now()) => ({ at, actor: 'ada', action: 'pin', subject: 'ws1', detail });

test('the log holds over the API, and what was cut off from its end is missed by its signed end', async () => {
  const { store } = server.context;
  const entry = { at: Date.now(), actor: 'ada', action: 'pin', subject: 'ws1', detail: 'why' };
  // Three, and that of the first token, which the server wrote when it started.
  for (let n = 0; n < 3; n += 1) await store.audit.append(entry);
  const response = await server.request('/api/audit/verification');
  expect(v.parse(AuditVerificationView, await response.json())).toMatchObject({ entries: 4, broken: null, unsigned: [] });

  const signer = signerFromPem('release-1', generateKeyPem());
  const deps = { dir, signer, formerKeys: [], clock: systemClock, logger: silentLogger, keepMs: 1e12 };
  const before = new AuditHeads({ ...deps, store });
  await before.note();
  await before.note();
  expect(await readdir(dir)).toHaveLength(1);
  expect(await before.verify()).toMatchObject({ entries: 4, heads: 1, broken: undefined, unsigned: [] });
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

  // The release key signed it before the server's own did.
  const other = signerFromPem('server-1', generateKeyPem());
  expect(await new AuditHeads({ ...deps, store, signer: other, formerKeys: [signer] }).verify()).toMatchObject({ heads: 1, unsigned: [] });

  // What another key signed, or nobody, is no end of the log, and is named.
  const [name = ''] = await readdir(dir);
  await new AuditHeads({ ...deps, store, signer: signerFromPem('release-1', generateKeyPem()) }).note();
  expect(await before.verify()).toMatchObject({ heads: 0, unsigned: [name] });
  await writeFile(join(dir, name), '{}');
  expect((await before.verify()).unsigned).toEqual([name]);
});

test('a log that was rewritten since its end was signed is not signed: the signed end stays and is named, also after a restart', async () => {
  const folder = join(dir, 'rewritten');
  await using honest = await startTestServer();
  await using forged = await startTestServer();
  for (const detail of ['one', 'what eve wants gone', 'three']) await honest.context.store.audit.append(decided(detail));
  const signedEnd = await honest.context.store.audit.head();
  const lines: string[] = [];
  const logger = createLogger({ level: 'error', write: (line) => lines.push(line) });
  // The database behind one store, before and after somebody rewrote the chain in it.
  let { audit } = honest.context.store;
  const store = {
    audit: { head: async () => await audit.head(), check: async (query: Parameters<typeof audit.check>[0]) => await audit.check(query) },
  };
  const deps = { dir: folder, signer: signerFromPem('release-1', generateKeyPem()), formerKeys: [], clock: systemClock, logger, keepMs: 1e12, store };
  const running = new AuditHeads(deps);
  await running.note();
  const files = await readdir(folder);
  const witness = await readFile(join(folder, files[0] ?? ''), 'utf8');

  ({ audit } = forged.context.store);
  // Emptied, cut off, as long as before, and longer by what the server itself appended.
  for (const why of ['end-missing', 'end-missing', 'end-missing', 'not-as-signed', 'not-as-signed']) {
    for (const heads of [running, new AuditHeads(deps)]) {
      const before = lines.length;
      await heads.note();
      expect(lines.slice(before), why).toEqual([expect.stringContaining(why)]);
      expect(await readdir(folder)).toEqual(files);
      expect(await readFile(join(folder, files[0] ?? ''), 'utf8')).toBe(witness);
      expect((await heads.verify()).broken).toMatchObject({ id: signedEnd?.id, why });
    }
    await audit.append(decided('forged'));
  }
  ({ audit } = honest.context.store);
  await audit.append(decided('four'));
  await running.note();
  expect(await readFile(join(folder, files[0] ?? ''), 'utf8')).not.toBe(witness);
});

test('a signed end that was removed by age is not missed, and the next end is signed', async () => {
  await using grown = await startTestServer();
  const { audit } = grown.context.store;
  const clock = new MovedClock();
  const folder = join(dir, 'aged');
  const keepMs = 10 * DAY_MS;
  const heads = new AuditHeads({
    dir: folder,
    signer: signerFromPem('server-1', generateKeyPem()),
    formerKeys: [],
    clock,
    logger: silentLogger,
    keepMs,
    store: grown.context.store,
  });
  await audit.append(decided('one'));
  await heads.note();
  await audit.append(decided('two'));
  clock.offsetMs = keepMs + 2 * DAY_MS;
  await audit.append(decided('three', clock.now()));
  // The first token's and the first of these; the newest that is old stays, as what the next one follows.
  expect(await audit.prune(clock.now() - keepMs)).toBe(2);
  await heads.note();
  expect(await heads.verify()).toMatchObject({ entries: 2, heads: 2, broken: undefined });
});
