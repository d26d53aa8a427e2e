import { cp, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec, type ExecResult } from '@floe/runtime';
import { eventually, exampleFleetFiles, TestFleet, testNixSettings, programFile } from '@floe/testkit';
import { afterAll, beforeAll, expect, it } from 'vitest';

// A CI builds, and hands its systems to Floe with the command and a token that can do nothing else.

const CLI = programFile('cli');
let fleet: TestFleet;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  const files = await exampleFleetFiles();
  const build = 'scripts/build.sh';
  // What is submitted has to look like NixOS; that of the example is less.
  const marks = 'printf "%s" "$system" >"$out/system"; echo >"$out/activate"';
  fleet = await TestFleet.create({ files: { ...files, [build]: `${files[build]}\n${marks}\n` }, nixConfig: testNixSettings, hasPostgres: true });
  await fleet.startServer();
  for (const host of ['ada', 'bob']) await fleet.addMachine(host);
  env = { PATH: process.env['PATH'], NODE_COMPILE_CACHE: process.env['NODE_COMPILE_CACHE'], HOME: join(fleet.dir, 'home'), NO_COLOR: '1' };
  await fleet.settled(await head());
  const body = JSON.stringify({ name: 'ci', role: 'submitter' });
  const made = (await (await fleet.request('/api/tokens', { method: 'POST', body })).json()) as { readonly token: string };
  await writeFile(join(fleet.dir, 'ci-token'), made.token, { mode: 0o600 });
});
afterAll(async () => {
  await fleet[Symbol.asyncDispose]();
});

const head = async (): Promise<string> => await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD');
async function floe(...args: string[]): Promise<ExecResult> {
  const login = ['--server', fleet.serverUrl, '--token-file', join(fleet.dir, 'ci-token')];
  return await exec(process.execPath, [CLI, ...args, ...login], { env, timeoutMs: 90_000 });
}

let builds = 0;
/** What a CI builds of a working tree, in which these files differ from the branch. */
async function built(files: Readonly<Record<string, string>>, hosts: readonly string[]): Promise<Record<string, string>> {
  builds += 1;
  const folder = join(fleet.dir, `ci-${builds}`);
  await mkdir(folder);
  for (const name of ['flake.nix', 'lib.nix', 'hosts', 'modules', 'scripts'])
    await cp(join(fleet.workTree, name), join(folder, name), { recursive: true });
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  const systems: Record<string, string> = {};
  for (const host of hosts) {
    const target = `path:${folder}#nixosConfigurations.${host}.config.system.build.toplevel`;
    const result = await exec('nix', ['build', '--no-link', '--json', target], {
      env: { ...env, NIX_CONFIG: testNixSettings },
      timeoutMs: 60_000,
    });
    expect(result.exitCode, result.stderr).toBe(0);
    const [made] = JSON.parse(result.stdout) as readonly { readonly outputs: { readonly out: string } }[];
    systems[host] = made?.outputs.out ?? '';
  }
  return systems;
}

async function file(systems: unknown): Promise<string> {
  builds += 1;
  const path = join(fleet.dir, `systems-${builds}.json`);
  await writeFile(path, typeof systems === 'string' ? systems : JSON.stringify(systems));
  return path;
}
const role = (text: string): string => `{ ... }: { environment.etc."role" = "${text}\n"; }\n`;
const current = async (host: string): Promise<string | undefined> => (await fleet.machine(host).observe()).current;

it('the systems of a file reach the machines, with the rollout shown, and no other host changes', async () => {
  const bob = await current('bob');
  const systems = await built({ 'hosts/ada.nix': role('by a CI') }, ['ada']);
  const path = await file(systems);
  const { exitCode, stdout, stderr } = await floe('release', 'submit', path, '--wait');
  expect(exitCode, stdout + stderr).toBe(0);
  expect(stderr).toContain('the rollout');
  expect(stdout).toMatch(/the rollout of revision #\d+ \([0-9a-f]+\) is complete/);
  expect(await current('ada')).toBe(systems['ada']);
  expect(await current('bob')).toBe(bob);
  expect(await fleet.hostView('ada')).toMatchObject({ standing: 'in-sync' });

  // The same again is nothing new.
  const again = await floe('release', 'submit', path, '--wait');
  expect(again).toMatchObject({ exitCode: 0, stdout: expect.stringContaining('The same was submitted before') as string });
  // The branch is where it was: nothing is taken in again.
  const revisions = (await (await fleet.request('/api/revisions?limit=10')).json()) as readonly { readonly isSubmitted: boolean }[];
  expect(revisions.map(({ isSubmitted }) => isSubmitted)).toEqual([true, false]);
});

it('a commit that was named gets the statuses; the next push is a newer revision of all hosts', async () => {
  const sha = await head();
  const systems = await built({ 'hosts/bob.nix': role('by a CI, too') }, ['bob']);
  const { exitCode, stdout, stderr } = await floe('release', 'submit', await file({ agents: systems }), '--commit', sha, '--wait');
  expect(exitCode, stdout + stderr).toBe(0);
  expect(await current('bob')).toBe(systems['bob']);
  await eventually('the forge is told', () =>
    fleet.forge.statuses.find((status) => status.sha === sha && status.description.startsWith('submitted')),
  );

  const pushed = await fleet.push('Everything by git again', { 'hosts/ada.nix': role('by git') });
  await fleet.settled(pushed);
  expect(await current('bob')).not.toBe(systems['bob']);
  expect(await current('ada')).toMatch(/nixos-system-ada/);
});

it('a rollout that fails ends with 1, and says so', async () => {
  await fleet.settled(
    await fleet.push('One failure pauses', {
      'floe.nix': '{ rings = [ { name = "all"; soak = "0s"; errors = { percent = 0; minStarted = 1; }; } ]; }',
    }),
  );
  const before = await current('ada');
  const systems = await built({ 'hosts/ada.nix': '{ ... }: { floe.healthChecks.never.command = "exit 1"; }' }, ['ada']);
  const { exitCode, stdout, stderr } = await floe('release', 'submit', await file(systems), '--wait');
  expect(exitCode, stdout + stderr).toBe(1);
  expect(stdout).toMatch(/the rollout of revision #\d+ .* is paused, and needs a person/);
  expect(await current('ada')).toBe(before);
});

it('says by name what is wrong with a file, and releases nothing of it', async () => {
  const good = await built({ 'hosts/ada.nix': role('never released') }, ['ada']);
  const revisions = async (): Promise<number> => ((await (await fleet.request('/api/revisions?limit=100')).json()) as readonly unknown[]).length;
  const before = await revisions();
  const gone = `/nix/store/${'0'.repeat(32)}-nixos-system-bob`;
  const refused = await floe('release', 'submit', await file({ ...good, bob: gone }));
  expect(refused).toMatchObject({ exitCode: 1, stdout: expect.stringMatching(/nothing is released:\nbob: .*nix copy --to/) as string });
  const unknown = await floe('release', 'submit', await file({ ...good, dan: good['ada'] }));
  expect(unknown).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('there is no host dan') as string });
  expect(await revisions()).toBe(before);
});

it('its token can do nothing else', async () => {
  for (const args of [['status'], ['hosts'], ['pin', 'ada', '--reason', 'x'], ['rollout', 'abort', '--reason', 'x']])
    expect(await floe(...args), args.join(' ')).toMatchObject({ exitCode: 3 });
});
