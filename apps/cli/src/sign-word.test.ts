import { mkdtemp, rm, writeFile, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { judgeWord } from '@floe/pipeline';
import { parseWord, type SignedWord } from '@floe/protocol';
import { exec, execInTest } from '@floe/runtime';
import { storePath } from '@floe/views/fixtures';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { NOW, SHA } from './test/fixtures.ts';
import { makeHome, run, startServer, type Answer, type Run } from './test/harness.ts';

// ssh-keygen is real.

let dir = '';
let key = '';
const stack: AsyncDisposable[] = [];
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-sign-'));
  key = join(dir, 'key');
  await execInTest('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'x', '-f', key], { env: process.env });
});
afterEach(async () => {
  for (const each of stack.splice(0)) await each[Symbol.asyncDispose]();
  await rm(dir, { recursive: true, force: true });
});

const BACK = {
  repository: 'https://forge.example/fleet.git',
  ref: 'refs/heads/main',
  host: 'ws1',
  commit: SHA,
  sequence: 4,
  toplevel: storePath('aaaaaaaa'),
  floor: 9,
  actor: 'ada',
  needsWord: true,
};
const SHORT = SHA.slice(0, 7);

async function serving(
  back: object,
): Promise<{ floe: (...argv: string[]) => Promise<Run>; seen: () => readonly { body: unknown }[]; sent: () => unknown }> {
  const done: Answer = { json: { outcome: 'done', message: 'ws1 is kept.' } };
  const server = await startServer({ [`GET /api/hosts/ws1/way-back?commit=${SHORT}`]: { json: back }, 'POST /api/hosts/ws1/pin': done });
  const home = await makeHome();
  stack.push(server, home);
  const env = { PATH: process.env['PATH'] ?? '', XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  return {
    floe: async (...argv) => await run(['pin', 'ws1', SHORT, '--reason', ' der Kernel hängt ', ...argv], env),
    seen: () => server.seen,
    sent: () => server.seen.at(-1)?.body,
  };
}

test('floe pin --sign-with signs what the host leaves and where it goes, and shows it before', async () => {
  const { floe, sent } = await serving(BACK);
  const { code, stdout, stderr } = await floe('--sign-with', key, '--until', '4h');
  expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: 'ws1 is kept.\n' });
  const end = new Date(NOW + 4 * 3600_000).toISOString();
  expect(stderr).toContain(`ws1 may go back from #9 to #4, commit ${SHA}, ${BACK.toplevel}, by ${end}.`);
  const { word, until } = sent() as { word: SignedWord; until: number };
  const { needsWord: _needsWord, ...about } = BACK;
  expect(parseWord(word.statement)).toMatchObject({ ...about, reason: 'der Kernel hängt', issuedAt: NOW, until });
  const file = join(dir, 'allowed');
  await writeFile(file, `ada ${await readFile(`${key}.pub`, 'utf8')}`);
  expect(await judgeWord({ exec, file, path: process.env['PATH'] }, word, NOW)).toMatchObject({ kind: 'signed', who: 'ada' });
  // No two are the same, and without an end it is good for a week.
  await floe('--sign-with', key);
  const again = parseWord((sent() as { word: SignedWord }).word.statement);
  expect([again?.until, again?.nonce === parseWord(word.statement)?.nonce]).toEqual([NOW + 7 * 24 * 3600_000, false]);
});

test('what is no way back is not signed, and neither is what the server puts in its place', async () => {
  const newer = await serving({ ...BACK, sequence: 9 });
  expect(await newer.floe('--sign-with', '/nonexistent')).toMatchObject({ code: 0, stderr: '' });
  expect(newer.seen().at(-1)?.body).not.toHaveProperty('word');
  for (const other of [{ host: 'ws2' }, { commit: 'd'.repeat(40) }]) {
    const { floe, seen } = await serving({ ...BACK, ...other });
    expect(await floe('--sign-with', key)).toMatchObject({ code: 1, stderr: expect.stringContaining('wants something else signed') as string });
    expect(seen()).toHaveLength(1);
  }
});

test('without a commit nothing is signed, nor asked of the server: it would choose', async () => {
  const server = await startServer({
    'GET /api/hosts/ws1/way-back': { json: BACK },
    'POST /api/hosts/ws1/pin': { json: { outcome: 'done', message: '' } },
  });
  const home = await makeHome();
  stack.push(server, home);
  const env = { PATH: process.env['PATH'] ?? '', XDG_CONFIG_HOME: home.folder, FLOE_SERVER_URL: server.url, FLOE_TOKEN_FILE: home.tokenFile };
  expect(await run(['pin', 'ws1', '--reason', 'why', '--sign-with', key], env)).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--sign-with needs a commit') as string,
  });
  expect(server.seen).toEqual([]);
});

test('a key that does not sign is said, and nothing is sent', async () => {
  const { floe, seen } = await serving(BACK);
  expect(await floe('--sign-with', join(dir, 'missing'))).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/did not sign .*ssh-add/) as string,
  });
  expect(seen()).toHaveLength(1);
  expect(await floe('--sign-with', key, '--store-path', storePath('aaaaaaaa'))).toMatchObject({ code: 2 });
});
