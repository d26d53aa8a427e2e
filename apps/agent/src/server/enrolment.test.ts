import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createLogger, systemClock, type Clock } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { HostName } from '@floe/model';
import { assertCanEnrol, enrolAnew, ensureEnrolled, type EnrolmentDeps } from './enrolment.ts';
import { loadIdentity } from './identity.ts';
import { postJson } from './post-json.ts';
import { makeStateFolder, statePaths } from '../state/state-folder.ts';
import { HOST, SYSTEM } from '../test/fixtures.ts';
import { TestServer } from '../test/test-server.ts';

let dir: string;
let server: TestServer;
let tokenFile: string;
let lines: string[];
const signal = new AbortController().signal;
const clock: Clock = { ...systemClock, sleep: async () => await Promise.resolve() };

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-enrol-'));
  server = await TestServer.start();
  tokenFile = join(dir, 'token');
  lines = [];
  await writeFile(tokenFile, 'token-of-sixteen-characters\n');
});
afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

async function newDeps(changes: Partial<EnrolmentDeps> = {}): Promise<EnrolmentDeps> {
  const paths = statePaths(join(dir, 'state'));
  await makeStateFolder(paths.dir);
  const identity = await loadIdentity({ host: HOST, root: dir, paths, system: SYSTEM });
  const logger = createLogger({ level: 'debug', write: (line) => lines.push(line) });
  return { identity, serverUrl: server.url, tokenFile, paths, post: postJson, clock, logger, random: () => 0, ...changes };
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
  expect((await newDeps()).identity).toMatchObject({ machineId, signer: { publicKey: signer.publicKey } });
});

test('a machine that was renamed is enrolled under its new name and, back in the system of the old one, under that', async () => {
  await ensureEnrolled(await newDeps(), signal);
  const deps = await newDeps();
  for (const identity of [{ ...deps.identity, host: 'nova' as HostName, formerHost: HOST }, deps.identity]) {
    await ensureEnrolled({ ...deps, identity }, signal);
    expect(server.enrolments).toHaveLength(1);
  }
  // Another name that it never had is not its own.
  await ensureEnrolled({ ...deps, identity: { ...deps.identity, host: 'nova' as HostName } }, signal);
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

test('a machine without a key, a record or a token is told what to do', async () => {
  const paths = statePaths(join(dir, 'empty'));
  await expect(assertCanEnrol({ paths, tokenFile: undefined, host: HOST })).rejects.toThrow('run "floe enrol ada"');
  await expect(assertCanEnrol({ paths, tokenFile: join(dir, 'missing'), host: HOST })).rejects.toThrow('missing');
  await expect(assertCanEnrol({ paths, tokenFile, host: HOST })).resolves.toBeUndefined();
});
