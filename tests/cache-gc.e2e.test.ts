import { readdir, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from '@floe/runtime';
import { exampleFleetFiles, TestFleet, testNixSettings, programFile } from '@floe/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';

// What hosts had long ago leaves the cache by the command, and a commit that is reverted brings it back.

const CLI = programFile('cli');
let fleet: TestFleet;
/** The system that ada had after each commit, and the commit. */
const had: { readonly sha: string; readonly toplevel: string }[] = [];

const role = (text: string): string => `{ ... }: { environment.etc."role" = "${text}\n"; }\n`;
const current = async (host: string): Promise<string> => (await fleet.machine(host).observe()).current ?? '';

async function floe(...args: string[]): Promise<{ readonly exitCode: number | null; readonly said: string }> {
  const login = ['--server', fleet.serverUrl, '--token-file', join(fleet.dir, 'server/admin-token')];
  const env = { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], HOME: join(fleet.dir, 'home'), NO_COLOR: '1' };
  const { exitCode, stdout, stderr } = await exec(process.execPath, [CLI, ...args, ...login], { env, timeoutMs: 60_000 });
  return { exitCode, said: stdout + stderr };
}

async function push(text: string): Promise<void> {
  const sha = await fleet.push(text, { 'hosts/ada.nix': role(text) });
  await fleet.settled(sha);
  had.push({ sha, toplevel: await current('ada') });
}

/** As a host finds it. */
async function isServed(toplevel: string): Promise<boolean> {
  const env = { PATH: process.env['PATH'], HOME: join(fleet.dir, 'reader'), NIX_CONFIG: testNixSettings };
  const uncached = ['positive', 'negative'].flatMap((kind) => ['--option', `narinfo-cache-${kind}-ttl`, '0']);
  const ask = ['path-info', '--recursive', '--store', `${fleet.serverUrl}/cache`, ...uncached, toplevel];
  return (await exec('nix', ask, { env, timeoutMs: 60_000 })).exitCode === 0;
}

beforeAll(async () => {
  fleet = await TestFleet.create({ files: await exampleFleetFiles(), nixConfig: testNixSettings, hasPostgres: true });
  await fleet.startServer();
  for (const host of ['ada', 'bob']) await fleet.addMachine(host);
  const sha = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  await fleet.settled(sha);
  for (const text of ['one', 'two', 'three', 'four']) await push(text);
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

it('what no host needs goes, what hosts have stays; a pin back is refused, and a revert publishes it again', async () => {
  const [first, , , last] = had;
  if (first === undefined || last === undefined) throw new Error('nothing was pushed');
  const cache = join(fleet.dir, 'server/cache');
  expect((await floe('cache', 'gc')).said).toContain('There is nothing to remove.');
  // Days pass.
  for (const name of await readdir(cache)) if (name.endsWith('.narinfo')) await utimes(join(cache, name), 1, 1);

  const dry = await floe('cache', 'gc', '--dry-run');
  expect(dry).toMatchObject({ exitCode: 0, said: expect.stringContaining(first.toplevel) as string });
  expect(dry.said).not.toContain(last.toplevel);
  expect(await isServed(first.toplevel)).toBe(true);

  const done = await floe('cache', 'gc', '--reason', 'the disk is full');
  expect(done).toMatchObject({ exitCode: 0, said: expect.stringMatching(/^Removed \d+ paths/m) as string });
  expect(await isServed(first.toplevel)).toBe(false);
  for (const toplevel of [...had.slice(1).map((each) => each.toplevel), await current('bob')]) expect(await isServed(toplevel)).toBe(true);

  const refused = await floe('pin', 'ada', first.sha, '--reason', 'as it was');
  expect(refused).toMatchObject({ exitCode: 1, said: expect.stringContaining('left the cache') as string });
  expect((await floe('log')).said).toContain('the disk is full');

  await push('one');
  expect(await current('ada')).toBe(first.toplevel);
  expect(await isServed(first.toplevel)).toBe(true);
  expect((await floe('pin', 'ada', first.sha, '--reason', 'as it was')).exitCode).toBe(0);
});
