import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isOn, type StorePath } from '@floe/model';
import { createNix, loadOrCreateCacheKey, type CacheKey, type Nix } from '@floe/nix';
import { exec, execInTest, silentLogger, systemClock, type Exec } from '@floe/runtime';
import { testNixSettings } from '@floe/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkHealth } from '../../health/health-checks.ts';
import type { Machine } from '../machine.ts';
import { createTargetMachine } from './create-target-machine.ts';
import { parseTarget, type AgentAccount } from './config.ts';
import { recogniseShape } from '../shape.ts';
import { storeFilesBelow } from '../store-files.ts';

const signal = new AbortController().signal;
const SWITCHED = { kind: 'switched', note: null };
const USER = 'alice';
let dir: string;
let builder: Nix;
let key: CacheKey;
let built = 0;
let machines = 0;

/** Builds and publishes a closure; `script` fills `$out`, and `file NAME` writes its standard input to an executable in it. */
async function publish(script: string): Promise<StorePath> {
  built += 1;
  const expression = join(dir, `closure-${built}.nix`);
  const helpers = 'set -eu; mkdir "$out"; file() { mkdir -p "$out/$(dirname "$1")"; cat > "$out/$1"; chmod +x "$out/$1"; }';
  await writeFile(
    expression,
    `derivation {
      name = "closure-${built}"; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-c" ${JSON.stringify(`${helpers}\n${script}`).replaceAll('${', '\\${')} ];
      PATH = "/usr/bin:/bin:/run/current-system/sw/bin"; unique = "${dir}";
    }`,
  );
  const result = await execInTest('nix-build', [expression, '--no-out-link'], { env: nixEnv() });
  expect(result.exitCode, result.stderr).toBe(0);
  const path = result.stdout.trim() as StorePath;
  await builder.publish([path], { cacheUrl: `file://${dir}/cache`, secretKeyFile: key.secretKeyFile, signal });
  return path;
}

/** As nix-darwin's: the record of what runs is set at the end. */
const darwin = (body: string, more = ''): string => `
  echo 25.11 > $out/darwin-version
  echo '{}' > $out/darwin-version.json
  printf %s $out > $out/systemConfig
  mkdir -p $out/etc
  ${more}
  { echo '#!/bin/sh -e'; cat <<'END'; echo "mkdir -p \\"\\$NIXOS_ROOT/run\\"; ln -sfn $out \\"\\$NIXOS_ROOT/run/current-system\\""; } | file activate
${body}
END`;

/** As Home Manager's: refuses other users, sets the GC root at its end, and the profile too unless told not to. */
const homeManager = (body: string, more = 'echo 1 > $out/gen-version'): string => `
  echo 25.11 > $out/hm-version
  mkdir -p $out/home-files $out/home-path/etc
  ${more}
  { echo '#!/bin/sh -e'; echo "generation=$out"; cat <<'END'; } | file activate
[ "$USER" = ${USER} ] || { echo "USER is $USER" >&2; exit 1; }
cd "$HOME"
mkdir -p "$XDG_STATE_HOME/nix/profiles" "$XDG_STATE_HOME/home-manager/gcroots"
echo "$*" > arguments
env > environment
${body}
ln -sfn "$generation" "$XDG_STATE_HOME/home-manager/gcroots/current-home"
END`;

const plain = (script?: string): string => `
  echo 'echo hello' | file bin/hello
  ${script === undefined ? '' : `{ echo '#!/bin/sh -e'; cat <<'END'; } | file bin/floe-activate\n${script}\nEND`}`;

function nixEnv(): NodeJS.ProcessEnv {
  return { PATH: process.env['PATH'], HOME: dir, NIX_CONFIG: testNixSettings };
}

interface TestMachine {
  readonly machine: Machine;
  readonly root: string;
  readonly home: string;
}

async function newMachine(env: Record<string, string>, options: { agent?: Partial<AgentAccount>; exec?: Exec } = {}): Promise<TestMachine> {
  machines += 1;
  const root = join(dir, `machine-${machines}`);
  const home = join(root, 'home', USER);
  await mkdir(home, { recursive: true });
  const { target, problems } = parseTarget(env, { platform: 'linux', user: USER, home: '/nonexistent', root, ...options.agent });
  expect(problems).toEqual([]);
  const agentEnv = { ...nixEnv(), XDG_CACHE_HOME: join(root, 'cache'), DRY_RUN: '1', HOME_MANAGER_BACKUP_EXT: 'bak' };
  const nixOf = async (how: { exec: Exec; env: NodeJS.ProcessEnv }): Promise<Nix> =>
    await Promise.resolve(createNix({ ...how, logger: silentLogger, store: { kind: 'root', dir: root } }));
  const machine = createTargetMachine(target, {
    root,
    roots: join(root, 'roots'),
    stateDir: join(root, 'state'),
    exec: options.exec ?? exec,
    env: agentEnv,
    platform: 'linux',
    switchLimitMs: 60_000,
    nix: async () => await nixOf({ exec, env: agentEnv }),
    nixAs: nixOf,
    nixos: () => {
      throw new Error('not a NixOS machine');
    },
  });
  return { machine, root, home };
}

async function download({ machine }: TestMachine, ...paths: StorePath[]): Promise<void> {
  for (const path of paths) {
    await machine.download(path, {
      keptAs: 'next',
      maxBytesPerSecond: undefined,
      substituters: [`file://${dir}/cache`],
      trustedPublicKeys: [key.publicKey],
      signal,
      maxBytes: 1e9,
      onProgress: () => undefined,
    });
    expect(await machine.isValid(path)).toBe(true);
  }
}

/** What the agent does with a closure that turns out well. */
async function putOn(machine: Machine, path: StorePath): Promise<void> {
  expect(await machine.switchTo(path, 'test', { activation: 1, signal })).toEqual(SWITCHED);
  expect((await machine.observe()).current).toBe(path);
  expect(isOn(await machine.observe(), path)).toBe(false);
  await machine.setProfile(path);
  expect(await machine.switchTo(path, 'boot', { activation: 1, signal })).toEqual(SWITCHED);
  expect(isOn(await machine.observe(), path)).toBe(true);
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-targets-'));
  builder = createNix({ exec, logger: silentLogger, env: nixEnv() });
  key = await loadOrCreateCacheKey(join(dir, 'cache.secret'), 'cache-1');
});
afterAll(async () => {
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

describe.each([
  ['darwin', { FLOE_TARGET: 'darwin' }, darwin, 'nix/var/nix/profiles/system'],
  ['home-manager', { FLOE_TARGET: 'home-manager' }, homeManager, `home/${USER}/.local/state/nix/profiles/home-manager`],
  ['profile', { FLOE_TARGET: 'profile', FLOE_PROFILE: 'tools' }, plain, `nix/var/nix/profiles/per-user/${USER}/tools`],
] as const)('%s', (kind, env, closure, profile) => {
  test('is activated, then made the profile, and goes back to the path it came from', async () => {
    const [first, second, third] = [await publish(closure('true # 1')), await publish(closure('true # 2')), await publish(closure('true # 3'))];
    const it = await newMachine(env);
    expect(await it.machine.observe()).toEqual({ current: null, booted: null, profile: null });
    await download(it, first, second, third);
    await putOn(it.machine, first);
    await putOn(it.machine, second);
    expect((await it.machine.observe()).profile).toEqual({ generation: 2, toplevel: second });
    expect(await readdir(join(it.root, profile, '..'))).toContain(`${profile.split('/').at(-1) ?? ''}-2-link`);

    // Activated and found wanting: the profile was never touched, and the recorded path is rolled back.
    await it.machine.switchTo(third, 'test', { activation: 1, signal });
    expect(await it.machine.observe()).toMatchObject({ current: third, profile: { generation: 2, toplevel: second } });
    expect(await it.machine.switchTo(second, 'test', { activation: 1, signal })).toEqual(SWITCHED);
    expect(isOn(await it.machine.observe(), second)).toBe(true);

    // To any earlier path, not to whichever generation happens to be the one before.
    await it.machine.switchTo(first, 'test', { activation: 1, signal });
    await it.machine.setProfile(first);
    expect(await it.machine.observe()).toMatchObject({ current: first, profile: { generation: 3, toplevel: first } });
  });

  test('an activation that fails says so, and leaves profile and record as they were', async () => {
    const [good, bad] = [await publish(closure('true # good')), await publish(closure('echo "no such luck" >&2; exit 4'))];
    const it = await newMachine(env);
    await download(it, good, bad);
    await putOn(it.machine, good);
    expect(await it.machine.switchTo(bad, 'test', { activation: 1, signal })).toMatchObject({
      kind: 'failed',
      detail: { code: 'SWITCH_FAILED', message: expect.stringMatching(/failed with status 4: no such luck/) as string },
    });
    expect(isOn(await it.machine.observe(), good)).toBe(true);
  });

  test('a closure of every other shape is refused and nothing of it is run', async () => {
    const it = await newMachine(env);
    const trace = join(it.root, 'was-run');
    const run = `touch ${trace}`;
    const others = {
      nixos: `echo 25.11 > $out/nixos-version; { echo '#!/bin/sh'; echo '${run}'; } | file bin/switch-to-configuration`,
      darwin: darwin(run),
      'home-manager': homeManager(run),
      profile: plain(run),
    };
    for (const [shape, script] of Object.entries(others)) {
      if (shape === kind) continue;
      const path = await publish(script);
      await download(it, path);
      expect((await recogniseShape(storeFilesBelow(it.root), path)).kind).toBe(shape);
      for (const action of ['test', 'boot'] as const) {
        expect(await it.machine.switchTo(path, action, { activation: 1, signal })).toMatchObject({
          kind: 'failed',
          detail: { code: 'SHAPE_MISMATCH' },
        });
      }
      await expect(it.machine.setProfile(path)).rejects.toMatchObject({ code: 'SHAPE_MISMATCH' });
    }
    expect(await readdir(it.root)).not.toContain('was-run');
    expect(await it.machine.observe()).toEqual({ current: null, booted: null, profile: null });
  });

  test('what the profile does not name is not what comes next', async () => {
    const path = await publish(closure('true # next'));
    const it = await newMachine(env);
    await download(it, path);
    expect(await it.machine.switchTo(path, 'boot', { activation: 1, signal })).toMatchObject({ kind: 'failed', detail: { code: 'PROFILE_DIFFERS' } });
  });

  test('its own checks are found and run', async () => {
    const checks = (command: string): string => JSON.stringify([{ name: 'works', command: ['/bin/sh', '-c', command] }]);
    const folder = kind === 'home-manager' ? 'home-path/etc/floe' : 'etc/floe';
    const path = await publish(`${closure('true # checked')}\necho '${checks('test -e "$HOME/ready"')}' | file ${folder}/health-checks.json`);
    const it = await newMachine(env);
    await download(it, path);
    const check = async () =>
      await checkHealth({ machine: it.machine, exec, clock: systemClock }, path, { passes: 1, pauseMs: 0, graceMs: 0, signal });
    expect(await check()).toMatchObject({ code: 'HEALTH_CHECK_FAILED' });
    const ready = kind === 'darwin' ? join(dir, 'ready') : join(it.home, 'ready');
    await writeFile(ready, '');
    expect(await check()).toBeNull();
    await rm(ready);
  });
});

test('a second activation waits for the end of one that a killed agent left running', async () => {
  const path = await publish(plain('readlink "$NIXOS_ROOT/left-behind" > "$NIXOS_ROOT/seen"'));
  const it = await newMachine({ FLOE_TARGET: 'profile', FLOE_PROFILE: 'tools' });
  await download(it, path);
  await mkdir(join(it.root, 'state'));
  const script = `touch ${it.root}/held; while [ ! -e ${it.root}/let-go ]; do sleep 0.05; done; ln -s done ${it.root}/left-behind`;
  const held = execInTest('flock', [join(it.root, 'state/activation.lock'), 'sh', '-c', script]);
  while (!(await readdir(it.root)).includes('held')) await systemClock.sleep(10);
  const switched = it.machine.switchTo(path, 'test', { activation: 1, signal });
  await writeFile(join(it.root, 'let-go'), '');
  expect(await switched).toEqual(SWITCHED);
  await held;
  expect(await readFile(join(it.root, 'seen'), 'utf8')).toBe('done\n');
});

test("other users can hold up no activation: they cannot open the lock, whoever made it, also where they can see the agent's folder", async () => {
  const path = await publish(plain('true'));
  const it = await newMachine({ FLOE_TARGET: 'profile', FLOE_PROFILE: 'tools' });
  await download(it, path);
  const lock = join(it.root, 'state/activation.lock');
  const mode = async (): Promise<string> => ((await stat(lock)).mode & 0o777).toString(8);
  const before = process.umask(0o022);
  try {
    expect(await it.machine.switchTo(path, 'test', { activation: 1, signal })).toEqual(SWITCHED);
    expect(await mode()).toBe('600');
    await chmod(lock, 0o644);
    expect(await it.machine.switchTo(path, 'test', { activation: 2, signal })).toEqual(SWITCHED);
    expect(await mode()).toBe('600');
  } finally {
    process.umask(before);
  }
});

test('an activation that leaves a daemon with its output has ended when its script has, and the daemon goes on', async () => {
  const path = await publish(plain('setsid sleep 3600 & echo $! > "$NIXOS_ROOT/daemon"'));
  const it = await newMachine({ FLOE_TARGET: 'profile', FLOE_PROFILE: 'tools' });
  await download(it, path);
  expect(await it.machine.switchTo(path, 'test', { activation: 1, signal })).toEqual(SWITCHED);
  const daemon = Number(await readFile(join(it.root, 'daemon'), 'utf8'));
  expect(process.kill(daemon, 0)).toBe(true);
  process.kill(daemon, 'SIGKILL');
});

test('Home Manager is told to leave the profile alone, and hears nothing of dry runs and backups', async () => {
  const path = await publish(homeManager('true'));
  const it = await newMachine({ FLOE_TARGET: 'home-manager' });
  await download(it, path);
  expect(await it.machine.switchTo(path, 'test', { activation: 1, signal })).toEqual(SWITCHED);
  expect(await readFile(join(it.home, 'arguments'), 'utf8')).toBe('--driver-version 1\n');
  const environment = (await readFile(join(it.home, 'environment'), 'utf8')).split('\n');
  expect(environment).toContain(`HOME=${it.home}`);
  expect(environment.filter((line) => /^(DRY_RUN|HOME_MANAGER|FLOE_)/.test(line))).toEqual([]);
});

test('a generation from before that option is not told of it, and sets the profile itself', async () => {
  const old = await publish(
    homeManager(
      'ln -sfn "$generation" "$XDG_STATE_HOME/nix/profiles/home-manager-7-link"; ln -sfn home-manager-7-link "$XDG_STATE_HOME/nix/profiles/home-manager"',
      '',
    ),
  );
  const it = await newMachine({ FLOE_TARGET: 'home-manager' });
  await download(it, old);
  expect(await it.machine.switchTo(old, 'test', { activation: 1, signal })).toEqual(SWITCHED);
  expect(await readFile(join(it.home, 'arguments'), 'utf8')).toBe('\n');
  expect(await it.machine.observe()).toEqual({ current: old, booted: null, profile: { generation: 7, toplevel: old } });
  expect(await it.machine.switchTo(old, 'boot', { activation: 1, signal })).toEqual(SWITCHED);
});

test('a profile that others set before is what there is to go back to', async () => {
  const [mine, theirs] = [await publish(plain('true')), await publish(plain())];
  const it = await newMachine({ FLOE_TARGET: 'profile', FLOE_PROFILE: 'tools' });
  await download(it, mine, theirs);
  const set = async (path: StorePath): Promise<void> => {
    const profile = join(it.root, `nix/var/nix/profiles/per-user/${USER}/tools`);
    const result = await execInTest('nix-env', ['--profile', profile, '--set', path, '--store', `local?root=${it.root}`], { env: nixEnv() });
    expect(result.exitCode, result.stderr).toBe(0);
  };
  await mkdir(join(it.root, `nix/var/nix/profiles/per-user/${USER}`), { recursive: true });
  await set(theirs);
  expect(await it.machine.observe()).toMatchObject({ current: theirs });
  await putOn(it.machine, mine);
  // Someone goes back by hand: what is reported is what the users have, not what the agent once did.
  await set(theirs);
  expect(await it.machine.observe()).toEqual({ current: theirs, booted: null, profile: { generation: 3, toplevel: theirs } });
});

describe('a nix-darwin from before systems were activated by root alone', () => {
  const userPart = `{ echo '#!/bin/sh'; echo 'echo user >> "$NIXOS_ROOT/order"'; } | file activate-user`;
  const emptyUserPart = `{ echo '#!/bin/sh'; echo '# nix-darwin: deprecated'; echo 'exit 1'; } | file activate-user`;
  const activate = 'echo system >> "$NIXOS_ROOT/order"';

  test('has its user part run first, by a user', async () => {
    const path = await publish(darwin(activate, userPart));
    const it = await newMachine({ FLOE_TARGET: 'darwin', FLOE_USER: USER });
    await download(it, path);
    expect(await it.machine.switchTo(path, 'test', { activation: 1, signal })).toEqual(SWITCHED);
    expect(await readFile(join(it.root, 'order'), 'utf8')).toBe('user\nsystem\n');
  });

  test('is refused when there is no user for it', async () => {
    const path = await publish(darwin(activate, userPart));
    const it = await newMachine({ FLOE_TARGET: 'darwin' });
    await download(it, path);
    expect(await it.machine.switchTo(path, 'test', { activation: 1, signal })).toMatchObject({ kind: 'failed', detail: { code: 'USER_NEEDED' } });
    expect(await readdir(it.root)).not.toContain('order');
  });

  test('a user part that says that it is empty is left out', async () => {
    const path = await publish(darwin(activate, emptyUserPart));
    const it = await newMachine({ FLOE_TARGET: 'darwin' });
    await download(it, path);
    expect(await it.machine.switchTo(path, 'test', { activation: 1, signal })).toEqual(SWITCHED);
    expect(await readFile(join(it.root, 'order'), 'utf8')).toBe('system\n');
  });
});

// Of all users only root may become another; `nobody` is on every Linux.
test.runIf(process.getuid?.() === 0)("root's agent activates and sets the profile as the user", async () => {
  await chmod(dir, 0o755);
  const path = await publish(plain('id -un > "$HOME/who"'));
  const calls: string[] = [];
  const traced: Exec = async (file, args, options) => {
    calls.push([file, ...args].join(' '));
    return await exec(file, args, options);
  };
  const it = await newMachine(
    { FLOE_TARGET: 'profile', FLOE_PROFILE: `/home/${USER}/profiles/tools`, FLOE_USER: 'nobody', FLOE_HOME: `/home/${USER}` },
    { agent: { user: 'root' }, exec: traced },
  );
  await download(it, path);
  expect((await execInTest('chown', ['nobody', it.home])).exitCode).toBe(0);
  expect(await it.machine.switchTo(path, 'test', { activation: 1, signal })).toEqual(SWITCHED);
  expect(await readFile(join(it.home, 'who'), 'utf8')).toBe('nobody\n');
  // The store of this test is root's, so that Nix refuses here; what counts is who asked.
  await it.machine.setProfile(path).catch(() => undefined);
  const profile = join(it.home, 'profiles/tools');
  expect(calls).toContain(`runuser -m -u nobody -- mkdir -p ${join(profile, '..')}`);
  expect(calls.at(-1)).toMatch(new RegExp(`^runuser -m -u nobody -- nix-env --profile ${profile} --set ${path} `));
});
