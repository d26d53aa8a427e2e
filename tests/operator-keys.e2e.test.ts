import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { PermitStatement } from '@floe/protocol';
import { exec, execInTest } from '@floe/runtime';
import { eventually, exampleFleetFiles, programFile, startPostgres, TestFleet, testNixSettings } from '@floe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';

// A builder of its own, with keys of operators: what a server without the release key can still do at night, and what takes a person.

const CLI = programFile('cli');
const stack = new AsyncDisposableStack();
let fleet: TestFleet;
let dir = '';
let base = '';
let first: string;
beforeAll(async () => {
  const { url } = stack.use(await startPostgres());
  const { 'hosts/bob.nix': _, 'hosts/cyd.nix': __, ...files } = await exampleFleetFiles();
  base = files['modules/base.nix'] ?? '';
  dir = await mkdtemp(join(tmpdir(), 'floe-operators-'));
  stack.defer(async () => await rm(dir, { recursive: true, force: true }));
  for (const name of ['operator', 'mallory'])
    await execInTest('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', name, '-f', join(dir, name)], { env: process.env });
  const keys = { FLOE_OPERATOR_KEYS_FILE: join(dir, 'operators') };
  await writeFile(keys.FLOE_OPERATOR_KEYS_FILE, `operator@example.org ${await readFile(join(dir, 'operator.pub'), 'utf8')}`);
  // The builder asks ssh-keygen; the server finds no program at all.
  const serverEnv = { PATH: '/nowhere', ...keys };
  const apart = { databaseUrl: url, hasOwnBuilder: true, builderEnv: keys, serverEnv };
  fleet = stack.use(await TestFleet.create({ files, ...apart, nixConfig: testNixSettings, pollSeconds: 1 }));
  await fleet.startServer();
  await floe('login', fleet.serverUrl, '--token-file', join(fleet.dir, 'server/admin-token'));
  await fleet.addMachine('ada');
  first = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  await runs(await arrived(first));
});
afterAll(async () => await stack.disposeAsync());

async function floe(...args: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }> {
  const env = { PATH: process.env['PATH'], HOME: join(fleet.dir, 'home'), NO_COLOR: '1' };
  return await exec(process.execPath, [CLI, ...args], { env, timeoutMs: 60_000 });
}

let round = 0;
/** Pushes a commit that changes ada, with this policy. */
async function push(policy: string): Promise<string> {
  round += 1;
  const end = base.lastIndexOf('}');
  const text = `${base.slice(0, end)}  environment.etc."round" = "${round}";\n${base.slice(end)}`;
  return await fleet.push(`Round ${round}`, { 'modules/base.nix': text, 'floe.nix': policy });
}

const explain = async (): Promise<string> => `${fleet.builder?.log()}\n${fleet.server.log()}\n${JSON.stringify(await fleet.hostView('ada'))}`;

async function arrived(sha: string): Promise<string | undefined> {
  const revision = await fleet.settled(sha);
  expect(revision).toMatchObject({ state: 'PUBLISHED', error: null });
  return revision.hosts.find(({ host }) => host === 'ada')?.toplevel ?? undefined;
}

async function runs(toplevel: string | undefined): Promise<void> {
  expect(toplevel).toBeDefined();
  await eventually('the host runs it', async () => ((await fleet.machine('ada').observe()).current === toplevel ? true : undefined), { explain });
}

async function isComplete(sha: string): Promise<void> {
  const state = async (): Promise<true | undefined> => ((await fleet.revision(sha))?.rollout?.state === 'COMPLETE' ? true : undefined);
  await eventually('its rollout is complete', state, { explain });
}

const QUICK = '{ rings = [ { name = "all"; soak = "0s"; errors = { percent = 0; minStarted = 1; }; } ]; }\n';
const SLOW = QUICK.replace('"0s"', '"1h"');

test('an operator brings a host back to any release by a key; without it, or with another, nobody does', async () => {
  const before = await arrived(first);
  const second = await push(QUICK);
  const now = await arrived(second);
  await runs(now);
  await isComplete(second);

  const pin = ['pin', 'ada', first, '--reason', 'as it was'];
  const refused = await floe(...pin);
  expect(refused.exitCode).toBe(3);
  expect(refused.stderr).toContain(`floe pin ada ${first} --reason "…" --sign-with KEY`);
  // The server cannot tell whose key it is; the builder can.
  expect(await floe(...pin, '--sign-with', join(dir, 'mallory'))).toMatchObject({ exitCode: 0 });
  const trouble = async (): Promise<string | undefined> => (await fleet.hostView('ada')).trouble?.message;
  await eventually('the host says why', async () => (await trouble())?.includes('none of the allowed ones') === true || undefined, { explain });
  expect((await fleet.machine('ada').observe()).current).toBe(now);

  const signed = await floe(...pin, '--sign-with', join(dir, 'operator'));
  expect(signed).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('is kept on its release') as string });
  await runs(before);
  await eventually('and nothing more', async () => (await trouble()) === undefined || undefined, { explain });
  // The host connects again, and stays.
  await fleet.machine('ada').agent.stop();
  fleet.machine('ada').agent.start();
  await eventually('it is back', async () => ((await fleet.hostView('ada')).standing !== 'away' ? true : undefined), { explain });
  await runs(before);
  await floe('unpin', 'ada', '--reason', 'done');
});

test('at night, without anybody, a rollout that is aborted with a revert brings the host back to its stable release', async () => {
  const third = await push(QUICK);
  const stable = await arrived(third);
  await runs(stable);
  await isComplete(third);
  const fourth = await push(SLOW);
  await runs(await arrived(fourth));
  const aborted = await floe('rollout', 'abort', fourth, '--revert', '--reason', 'the printers are gone');
  expect(aborted.exitCode, aborted.stderr).toBe(0);
  await runs(stable);
  // Who checks the history sees which of the two a person signed for.
  const file = join(fleet.dir, 'export.jsonl');
  expect(await floe('export', '--out', file)).toMatchObject({ exitCode: 0 });
  const lines = (await readFile(file, 'utf8')).split('\n').filter((line) => line !== '');
  const permits = lines.map((line) => JSON.parse(line) as { kind: string; envelope: { payload: string } }).filter(({ kind }) => kind === 'permit');
  const signers = permits.map(({ envelope }) => (JSON.parse(Buffer.from(envelope.payload, 'base64').toString()) as PermitStatement).authorisedBy);
  expect(signers).toEqual(['operator@example.org', undefined]);
  const { serverKeys } = await fleet.enrolmentToken('ada');
  await writeFile(join(dir, 'server-keys'), serverKeys.map((key) => `server ${key}\n`).join(''));
  const trusted = ['--key', join(dir, 'server-keys'), '--key', join(fleet.dir, 'builder/public-keys.json')];
  const verified = await floe('verify', file, ...trusted);
  expect(verified.exitCode, `${verified.stdout}${verified.stderr}`).toBe(0);
  expect(verified.stdout).toContain('by the permit on line');
});
