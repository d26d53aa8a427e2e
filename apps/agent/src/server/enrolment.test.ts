import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, generateKeyPem, systemClock, type Clock } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AgentDetail, HostName } from '@floe/model';
import { enrolAnew, ensureEnrolled, hasNewToken, type EnrolmentDeps } from './enrolment.ts';
import { AgentIdentity } from './identity.ts';
import { postJson } from './post-json.ts';
import { makeStateFolder, statePaths } from '../state/state-folder.ts';
import { HOST, SYSTEM } from '../test/fixtures.ts';
import { TestServer } from '../test/test-server.ts';

let dir: string;
let server: TestServer;
let tokenFile: string;
let lines: string[];
let troubles: AgentDetail[];
const signal = new AbortController().signal;
const clock: Clock = { ...systemClock, sleep: async () => await Promise.resolve() };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-enrol-'));
  server = await TestServer.start();
  tokenFile = join(dir, 'token');
  lines = [];
  troubles = [];
  await writeFile(tokenFile, 'token-of-sixteen-characters\n');
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

interface Changes extends Partial<EnrolmentDeps> {
  readonly name?: { readonly host: HostName; readonly formerHost?: HostName };
  readonly keyFile?: string;
}

async function newDeps({ name = { host: HOST }, keyFile, ...changes }: Changes = {}): Promise<EnrolmentDeps> {
  const paths = statePaths(join(dir, 'state'));
  await makeStateFolder(paths.dir);
  const logger = createLogger({ level: 'debug', write: (line) => lines.push(line) });
  const identity = new AgentIdentity({ ...name, root: dir, paths, bootId: 'boot', system: SYSTEM, keyFile, logger });
  const onTrouble = (trouble: AgentDetail): void => void troubles.push(trouble);
  const rest = { slowRetryMs: 60_000, triedTokens: new Set<string>(), onTrouble, post: postJson, clock, logger, random: () => 0 };
  return { identity, serverUrl: server.url, tokenFile, paths, ...rest, ...changes };
}

test('a machine enrols once, with its own key, which only its owner can read', async () => {
  const deps = await newDeps();
  await ensureEnrolled(deps, signal);
  await ensureEnrolled(await newDeps(), signal);
  const { machineId, signer } = deps.identity;
  expect(server.enrolments).toEqual([{ token: 'token-of-sixteen-characters', host: HOST, machineId, publicKey: signer.publicKey, system: SYSTEM }]);
  expect((await stat(deps.paths.key)).mode & 0o777).toBe(0o600);
  expect((await stat(deps.paths.dir)).mode & 0o777).toBe(0o700);
  expect(await readFile(deps.paths.enrolment, 'utf8')).not.toContain('token-of-sixteen-characters');
  expect(lines.join()).not.toContain('token-of-sixteen-characters');
  const again = (await newDeps()).identity;
  await again.load();
  expect([again.machineId, again.signer.publicKey]).toEqual([machineId, signer.publicKey]);
});

test('a machine that was renamed is enrolled under its new name and, back in the system of the old one, under that', async () => {
  await ensureEnrolled(await newDeps(), signal);
  for (const name of [{ host: 'nova' as HostName, formerHost: HOST }, { host: HOST }]) {
    await ensureEnrolled(await newDeps({ name }), signal);
    expect(server.enrolments).toHaveLength(1);
  }
  // Another name that it never had is not its own.
  await ensureEnrolled(await newDeps({ name: { host: 'nova' as HostName } }), signal);
  expect(server.enrolments).toHaveLength(2);
});

test('a server that is away is waited for', async () => {
  let tries = 0;
  const deps = await newDeps({
    post: async (...args) => {
      tries += 1;
      return await postJson(tries < 4 ? 'http://127.0.0.1:1/' : args[0], args[1], args[2]);
    },
  });
  await ensureEnrolled(deps, signal);
  expect([tries, server.enrolments.length]).toEqual([4, 1]);
});

test('a refused token is said with its reason; a new one in the file is found without a restart', async () => {
  const deps = await newDeps();
  server.onEnrol = () => ({ status: 403, body: { error: { code: 'ENROLMENT_TOKEN_EXPIRED', message: 'the enrolment token expired' } } });
  await ensureEnrolled(deps, signal);
  expect(lines.join()).toContain('the enrolment token expired');
  expect(await enrolAnew(deps, signal)).toBe(false);
  server.onEnrol = () => ({ status: 201, body: { host: HOST } });
  await writeFile(tokenFile, 'another-token-of-the-server');
  expect(await enrolAnew(deps, signal)).toBe(true);
});

test('a token that was used here is not sent again when the server shuts the machine out', async () => {
  const deps = await newDeps();
  await ensureEnrolled(deps, signal);
  expect(await enrolAnew(deps, signal)).toBe(false);
  expect(server.enrolments).toHaveLength(1);
});

test('a token that was used already is no reason to give up: the agent died before it could note so, perhaps', async () => {
  server.onEnrol = () => ({ status: 403, body: { error: { code: 'ENROLMENT_TOKEN_USED', message: 'used' } } });
  await ensureEnrolled(await newDeps(), signal);
  expect(lines.join()).toContain('connecting with the existing key');
});

test('an answer that is not of Floe is no enrolment', async () => {
  let tries = 0;
  const deps = await newDeps({
    post: async (...args) => ((tries += 1) === 1 ? { status: 200, body: '<html>It works!</html>' } : await postJson(...args)),
  });
  await ensureEnrolled(deps, signal);
  expect(lines.join()).toContain('not as a Floe server');
  expect(server.enrolments).toHaveLength(1);
});

test('a machine without a record or a token says what to do, and connects: the server knows whether it is enrolled', async () => {
  await ensureEnrolled(await newDeps({ tokenFile: undefined }), signal);
  expect(troubles.at(-1)).toEqual({ code: 'NOT_ENROLLED', message: expect.stringContaining('FLOE_ENROLMENT_TOKEN_FILE') });
  await ensureEnrolled(await newDeps({ tokenFile: join(dir, 'missing') }), signal);
  expect(troubles.at(-1)?.message).toContain(`runs "floe enrol ada" to get a one-time token; put it into ${join(dir, 'missing')}`);
  expect(server.enrolments).toEqual([]);
});

test('only a token that was neither used nor refused is a reason to try at once', async () => {
  const deps = await newDeps();
  expect(await hasNewToken(deps)).toBe(true);
  server.onEnrol = () => ({ status: 403, body: { error: { code: 'ENROLMENT_TOKEN_EXPIRED', message: 'expired' } } });
  await ensureEnrolled(deps, signal);
  expect([await hasNewToken(deps), troubles.at(-1)?.code]).toEqual([false, 'ENROLMENT_TOKEN_EXPIRED']);
  await writeFile(tokenFile, 'another-token-of-the-server');
  expect(await hasNewToken(deps)).toBe(true);
  server.onEnrol = () => ({ status: 201, body: { host: HOST } });
  expect(await enrolAnew(deps, signal)).toBe(true);
  expect(await hasNewToken(deps)).toBe(false);
  await rm(tokenFile);
  expect(await hasNewToken(deps)).toBe(false);
});

test('a key file that is missing is waited for, and never made', async () => {
  const keyFile = join(dir, 'key.pem');
  let looks = 0;
  const coming: Clock = {
    ...clock,
    sleep: async () => {
      if ((looks += 1) === 3) await writeFile(keyFile, generateKeyPem(), { mode: 0o600 });
    },
  };
  const deps = await newDeps({ keyFile, clock: coming });
  await ensureEnrolled(deps, signal);
  expect([looks, deps.identity.keyFile, troubles.at(-1)?.code]).toEqual([3, keyFile, 'IDENTITY_KEY_MISSING']);
  await expect(stat(deps.paths.key)).rejects.toThrow('ENOENT');
  // It may be enrolled, so that no token is used up: the server says whether it is.
  expect(server.enrolments).toEqual([]);
  expect(await enrolAnew(deps, signal)).toBe(true);
  expect(JSON.parse(await readFile(deps.paths.enrolment, 'utf8'))).toMatchObject({ keyFile });
});
