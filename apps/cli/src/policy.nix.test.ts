import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeHome, run } from './test/harness.ts';

/** The platform of this machine, and the other one of servers. */
const [HERE, ELSEWHERE] = process.arch === 'arm64' ? ['aarch64-linux', 'x86_64-linux'] : ['x86_64-linux', 'aarch64-linux'];

let top: string;
/** The flake is in a folder of its repository. */
let flake: string;

async function git(...args: string[]): Promise<void> {
  const { exitCode, stderr } = await execInTest('git', ['-C', top, ...args]);
  if (exitCode !== 0) throw new Error(stderr);
}

async function writeFlake(floe: string, hosts: string): Promise<void> {
  await writeFile(
    join(flake, 'flake.nix'),
    `{ outputs = { self }: {\n${floe}\nchecks.${HERE}.unit = throw "not built";\nnixosConfigurations = {\n${hosts}\n}; }; }\n`,
  );
}

const RINGS = 'floe = import ./policy.nix;';
const HOSTS = `
  ws1.config.services.floe.agent = { labels = [ "laptop" ]; ring = null; };
  ws2.config.services.floe.agent.ring = "canary";
  ws3.config.time.timeZone = "Asia/Tokyo";
  ws4 = throw "ws4 is broken";
  ws5.config.services.floe.agent.labels = [ "laptop" ];
`;

beforeAll(async () => {
  top = await mkdtemp(join(tmpdir(), 'floe-policy-'));
  flake = join(top, 'nixos');
  await mkdir(flake);
  await writeFile(join(flake, 'policy.nix'), '{ rings = [ { name = "canary"; hosts = [ "ws5" ]; } { name = "all"; } ]; checks = [ "unit" ]; }\n');
  await writeFlake(RINGS, HOSTS);
  await git('init', '-q', '-b', 'main');
  await git('add', '-A');
  await git('commit', '-qm', 'first');
});
afterAll(async () => {
  await rm(top, { recursive: true });
});

describe('floe policy check, with Nix', () => {
  test('reads the policy, and what the hosts say themselves; a broken host is a note', async () => {
    const { code, stdout, stderr } = await run(['policy', 'check', flake, '--json'], {});
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { hosts, notes } = JSON.parse(stdout) as { hosts: readonly { host: string; ring: string; labels: string[] }[]; notes: string[] };
    expect(hosts.map(({ host, ring, labels }) => [host, ring, ...labels].join(' '))).toEqual([
      'ws2 canary',
      'ws5 canary laptop',
      'ws1 all laptop',
      'ws3 all',
      'ws4 all',
    ]);
    expect(notes).toEqual([expect.stringMatching(/^ws4: its configuration cannot be read(?:.|\n)*ws4 is broken/)]);
  });

  test('--against compares the working tree with a commit, and leaves both as they are', async () => {
    await writeFlake(RINGS, HOSTS.replace('ring = null', 'ring = "canary"'));
    const { code, stdout } = await run(['policy', 'check', flake, '--against', 'HEAD'], {});
    expect(code).toBe(0);
    expect(stdout.split('Changes since HEAD\n')[1]).toContain('weaker  1 host from ring all to ring canary: ws1');
    const { stdout: status } = await execInTest('git', ['-C', top, 'status', '--porcelain']);
    expect(status).toBe(' M nixos/flake.nix\n');
    const { code: unknown, stderr } = await run(['policy', 'check', flake, '--against', '--all'], {});
    expect({ unknown, stderr }).toEqual({ unknown: 2, stderr: expect.stringContaining('git knows no revision "--all"') });
  });

  test('reads a flake at the top of a repository with changes, and one in no repository', async () => {
    await using plain = await makeHome();
    const folder = join(plain.folder, 'fleet');
    await mkdir(folder);
    // Pure evaluation has no current system.
    await writeFile(
      join(folder, 'flake.nix'),
      '{ outputs = { self }: { floe.rings = [ { name = if builtins ? currentSystem then "impure" else "pure"; } ]; nixosConfigurations.ws1 = { }; }; }',
    );
    const ringIn = async (): Promise<unknown> => {
      const { stdout, stderr } = await run(['policy', 'check', folder, '--json'], {});
      expect(stderr).toBe('');
      return (JSON.parse(stdout) as { hosts: unknown }).hosts;
    };
    const expected = [{ host: 'ws1', ring: 'pure', why: 'no rule names it', labels: [] }];
    expect(await ringIn()).toEqual(expected);
    await execInTest('git', ['init', '-q', folder]);
    await execInTest('git', ['-C', folder, 'add', '-A']);
    expect(await ringIn()).toEqual(expected);
  });

  test('says what Nix says when the policy cannot be evaluated', async () => {
    await writeFlake('floe.rings = [ { name = throw "no name"; } ];', '');
    const { code, stderr } = await run(['policy', 'check', flake, '--names-only'], {});
    expect({ code, stderr }).toEqual({ code: 1, stderr: expect.stringContaining('no name') });
    await git('commit', '-qam', 'broken');
    await writeFlake('floe.rings = [ { name = "all"; } ];', '');
    const mended = await run(['policy', 'check', flake, '--against', 'HEAD', '--names-only'], {});
    expect(mended).toMatchObject({ code: 0, stderr: expect.stringMatching(/^floe: nothing to compare: (?:.|\n)*no name/) });
    await writeFlake('floe.rings = [ { name = "all"; soak = x: x; } ];', '');
    expect((await run(['policy', 'check', flake, '--names-only'], {})).stderr).toContain(
      'floe: rings[0].soak: is a function, and the output floe is plain data',
    );
    await writeFlake('floe.budgets."role=dns" = x: x;', '');
    expect((await run(['policy', 'check', flake, '--names-only'], {})).stderr).toContain('floe: budgets."role=dns": is a function, ');
  });

  test('says where there is no flake, without a path of the store', async () => {
    const empty = join(top, 'docs');
    await mkdir(empty);
    const here = await mkdtemp(join(tmpdir(), 'floe-no-flake-'));
    for (const folder of [empty, here])
      expect(await run(['policy', 'check', folder], {})).toEqual({
        code: 2,
        stdout: '',
        stderr: `floe: there is no flake.nix in ${folder}: name the folder of the flake, or a file with its JSON\n`,
      });
    await writeFile(join(empty, 'flake.nix'), '{ outputs = { self }: { floe.rings = [ { name = "all"; } ]; nixosConfigurations = { }; }; }\n');
    const untracked = await run(['policy', 'check', empty], {});
    expect(untracked.stderr).toBe(`floe: git does not know flake.nix, so Nix does not see it: git -C ${empty} add flake.nix\n`);
    await git('add', 'docs');
    const { code, stderr } = await run(['policy', 'check', empty, '--against', 'HEAD'], {});
    expect({ code, stderr }).toMatchObject({ code: 0, stderr: expect.stringContaining(`there is no flake.nix in ${empty} as HEAD has it`) });
    await git('rm', '-rqf', 'docs');
    await rm(here, { recursive: true });
  });

  test('prints a command that has git know all of them, wherever it is run, whatever they are called', async () => {
    await writeFlake('floe.rings = [ { name = "all"; } ];', 'ws1 = { };');
    const names = ["it's.nix", 'two words.nix', 'ü.nix', 'd.nix', 'e.nix', 'f.nix'];
    for (const count of [1, 2, 5, 6]) {
      for (const name of names.slice(0, count)) await writeFile(join(flake, name), '{ }\n');
      const { stdout } = await run(['policy', 'check', flake, '--json', '--names-only'], {});
      const [note = ''] = (JSON.parse(stdout) as { notes: string[] }).notes;
      expect(note).toContain(count === 1 ? 'does not see it: ' : 'does not see them: ');
      const command = note.slice(note.indexOf(': git ') + 2);
      expect(await execInTest('sh', ['-ec', command], { cwd: tmpdir() })).toMatchObject({ exitCode: 0 });
      const after = await run(['policy', 'check', flake, '--json', '--names-only'], {});
      expect(JSON.parse(after.stdout)).toMatchObject({ notes: [] });
      await git('rm', '-qf', '--', ...names.slice(0, count).map((name) => `nixos/${name}`));
    }
  });

  test('names files that git does not know, because Nix does not see them', async () => {
    await writeFlake('floe = import ./rings.nix;', 'ws1 = { };');
    await writeFile(join(flake, 'rings.nix'), '{ rings = [ { name = "all"; } ]; }\n');
    const said = `git does not know rings.nix, so Nix does not see it: git -C ${flake} add rings.nix`;
    const failed = await run(['policy', 'check', flake], {});
    expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining(said) });
    await writeFlake('floe = if builtins.pathExists ./rings.nix then import ./rings.nix else { };', 'ws1 = { };');
    const { code, stdout } = await run(['policy', 'check', flake, '--json'], {});
    expect({ code, ...JSON.parse(stdout) }).toMatchObject({ code: 0, notes: [said] });
    await git('add', '-A');
    expect(JSON.parse((await run(['policy', 'check', flake, '--json'], {})).stdout)).toMatchObject({ notes: [], rings: [{ name: 'all' }] });
  });

  test.each([
    ['of this machine alone', `checks.${HERE}.unit = 1;`, []],
    ['of both platforms', `checks.${HERE}.unit = 1; checks.${ELSEWHERE}.unit = 1;`, []],
    ['of a Mac, too', `checks.${HERE}.unit = 1; checks.aarch64-darwin.lint = 1;`, []],
    ['of one, where the other has checks', `checks.${HERE}.unit = 1; checks.${ELSEWHERE}.lint = 1;`, [ELSEWHERE]],
    ['of the other platform alone', `checks.${ELSEWHERE}.unit = 1;`, [HERE]],
    ['of a Mac alone', 'checks.aarch64-darwin.unit = 1;', [HERE]],
  ])('a server looks below its own platform: a check %s', async (_what, checks, lacking) => {
    await using plain = await makeHome();
    const floe = 'floe = { rings = [ { name = "all"; } ]; checks = [ "unit" ]; };';
    await writeFile(join(plain.folder, 'flake.nix'), `{ outputs = { self }: { ${floe} ${checks} nixosConfigurations.ws1 = { }; }; }`);
    const { code, stdout } = await run(['policy', 'check', plain.folder, '--json', '--names-only'], {});
    expect({ code, ...JSON.parse(stdout) }).toMatchObject({
      code: 0,
      problems: [],
      notes: lacking.map((platform) => `checks[0]: there is no checks.${platform}.unit: on a server of that platform the commit fails`),
    });
  });

  test('says that there is no output floe, and what may be meant by another', async () => {
    await writeFlake('flo.rings = [ ];', 'ws1 = { };');
    const { code, stdout } = await run(['policy', 'check', flake, '--json'], {});
    expect({ code, ...JSON.parse(stdout) }).toMatchObject({
      code: 0,
      notes: ['there is no output floe, so all hosts are in one ring, and nothing waits; did you mean flo?'],
    });
  });
});
