import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, generateKeyPem, signerFromPem } from '@floe/runtime';
import { eventually, exampleFleetFiles, TestFleet, testNixSettings, programFile } from '@floe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeSigningDevice, NO_TOKEN, type SigningDevice } from './signing-device.ts';

// The server's releases are signed by a program that fails, and works again.

const CLI = programFile('cli');
const stack = new AsyncDisposableStack();
const pem = generateKeyPem();
const { publicKey } = signerFromPem('release-1', pem);
let device: SigningDevice;
let fleet: TestFleet;

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), 'floe-device-'));
  stack.defer(async () => await rm(dir, { recursive: true, force: true }));
  device = await makeSigningDevice(dir, pem);
  const serverEnv = { FLOE_SIGN_COMMAND: JSON.stringify(device.command), FLOE_SIGN_PUBLIC_KEY: publicKey };
  const { 'hosts/bob.nix': _, 'hosts/cyd.nix': __, ...files } = await exampleFleetFiles();
  fleet = stack.use(await TestFleet.create({ files, nixConfig: testNixSettings, pollSeconds: 1, serverEnv }));
  await fleet.startServer();
  await floe('login', fleet.serverUrl, '--token-file', join(fleet.dir, 'server/admin-token'));
});
afterAll(async () => await stack.disposeAsync());

async function floe(...args: string[]): Promise<string> {
  const env = { PATH: process.env['PATH'], HOME: join(fleet.dir, 'home'), NO_COLOR: '1' };
  return (await exec(process.execPath, [CLI, ...args], { env, timeoutMs: 60_000 })).stdout;
}

const explain = async (): Promise<string> => `${fleet.server.log()}\n${JSON.stringify(await fleet.fleetView())}`;

/** The commit is built, and says that it waits for the token. */
async function waitsForToken(sha: string): Promise<void> {
  const error = await eventually('the commit says why', async () => (await fleet.revision(sha))?.error ?? undefined, { explain });
  expect(error).toContain(NO_TOKEN);
  expect(await fleet.revision(sha)).toMatchObject({ state: 'BUILDING' });
  expect(await floe('status')).toContain(NO_TOKEN);
}

async function runs(toplevel: string | null | undefined): Promise<void> {
  expect(toplevel).toBeDefined();
  await eventually('the host runs it', async () => ((await fleet.machine('ada').observe()).current === toplevel ? true : undefined), { explain });
}

/** What the host runs by the commit. */
async function arrived(sha: string): Promise<string | undefined> {
  const revision = await fleet.settled(sha, 240_000);
  expect(revision).toMatchObject({ state: 'PUBLISHED', error: null });
  const toplevel = revision.hosts.find(({ host }) => host === 'ada')?.toplevel;
  await runs(toplevel);
  return toplevel ?? undefined;
}

test('while the command fails, page and status say why, and nothing is lost: all is signed when it works', async () => {
  const first = await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
  await waitsForToken(first);
  expect((await fleet.enrolmentToken('ada')).releaseKeys).toEqual([`release-1:${publicKey}`]);
  await fleet.addMachine('ada');
  await device.plug();
  const before = await arrived(first);

  await device.unplug();
  const second = await fleet.push('Changes ada', { 'hosts/ada.nix': '{ config, ... }: { environment.etc."motd" = "second"; }\n' });
  await waitsForToken(second);
  await fleet.server.stop();
  await fleet.startServer();
  await runs(before);
  await device.plug();
  expect(await arrived(second)).not.toBe(before);
  expect(await floe('status')).not.toContain(NO_TOKEN);

  // The way back needs a permit.
  await device.unplug();
  const pinned = await fleet.request('/api/hosts/ada/pin', { method: 'POST', body: JSON.stringify({ commit: first, reason: 'as it was' }) });
  expect(pinned.status).toBe(200);
  const isLogged = (): true | undefined => (fleet.server.log().includes('what servers ask to be signed could not be answered') ? true : undefined);
  await eventually('it cannot be signed', isLogged, { explain });
  await device.plug();
  await runs(before);
  expect(await readdir(join(fleet.dir, 'server/keys'))).not.toContain('release.pem');
});
