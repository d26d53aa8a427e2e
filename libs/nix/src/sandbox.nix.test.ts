import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostName } from '@floe/model';
import { createExec, exec, silentLogger } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNix, createRepositoryNix, loadOrCreateCacheKey, openSandbox, openUnsafeSandbox, type HostEvaluation, type Sandbox } from './index.ts';
import { commitFlake, SYSTEM } from './test/worlds.ts';

// Nothing that one command writes is read by a later one. Otherwise whoever may push once could decide the content of later
// commits.

const env = { PATH: process.env['PATH'], HOME: '/nowhere', NIX_CONFIG: process.env['NIX_CONFIG'] };
let dir = '';
let mirror = '';
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-sandbox-'));
  mirror = join(dir, 'mirror');
  await mkdir(mirror);
});
afterAll(async () => {
  await exec('chmod', ['-R', 'u+w', dir], { timeoutMs: 60_000 });
  await rm(dir, { recursive: true, force: true });
});

const open = async (name: string, execute = exec): Promise<Sandbox> =>
  await openSandbox(
    { exec: execute, env, dir: join(dir, name), readable: [mirror] },
    { secrets: [], programs: [], nonce: `${dir}${name}`, mayBuildsChangeStore: true },
  );

async function run(sandbox: Sandbox, script: string, execute = exec): Promise<string> {
  await using command = await sandbox.prepare('/bin/sh', ['-c', script]);
  return (await execute(command.file, command.args, { env: command.env, timeoutMs: 60_000 })).stdout;
}

/** Everywhere except in the kernel's own tables, in Nix's store, which has its own rules, and in folders that take long to search. */
const EVERYWHERE = '/ \\( -path /proc -o -path /nix -o -path /usr \\) -prune -o';
const PLANT = `
  mkdir -p $HOME/.config/nix $HOME/.config/git $HOME/.local/share/nix $HOME/.local/state $HOME/.cache/nix/gitv3 $HOME/.ssh $HOME/.cache/nix/eval-cache-v2
  find ${EVERYWHERE} -type d -writable -print 2> /dev/null | while read folder; do
    echo plant > "$folder/floe-plant" && echo "$folder"
    ln -s /etc "$folder/floe-plant-link"; mkfifo "$folder/floe-plant-pipe"; mkdir "$folder/floe-plant-shut" && chmod 0 "$folder/floe-plant-shut"
  done
  find ${EVERYWHERE} -type f -writable ! -name 'floe-plant*' -exec sh -c 'echo plant >> "$1"' sh {} \\; 2> /dev/null`;

it('reports when nothing can run in it any more, and when it works again', async () => {
  let isBroken = false;
  const sandbox = await open(
    'broken',
    async (file, args, options) => await exec(file, args, isBroken ? { ...options, env: { ...options.env, PATH: '/nowhere' } } : options),
  );
  expect(await sandbox.problem()).toBeUndefined();
  isBroken = true;
  expect(await sandbox.problem()).toMatch(/bwrap/);
  isBroken = false;
  expect(await sandbox.problem()).toBeUndefined();
});

it('does not open where a program that commands need is missing', async () => {
  const opened = openSandbox(
    { exec, env, dir: join(dir, 'lacking'), readable: [] },
    { secrets: [], needed: ['sh', 'floe-none'], programs: [], nonce: `${dir}lacking`, mayBuildsChangeStore: true },
  );
  await expect(opened).rejects.toMatchObject({ code: 'PROGRAM_MISSING', message: expect.stringContaining('floe-none is needed') as string });
});

describe('files of a command', () => {
  it('are not visible to the next one, wherever it can write', async () => {
    const sandbox = await open('files');
    const written = (await run(sandbox, PLANT)).trim().split('\n');
    const home = (await run(sandbox, 'echo $HOME')).trim();
    for (const folder of [home, `${home}/.cache/nix`, `${home}/.config/nix`, '/tmp', '/dev/shm']) expect(written).toContain(folder);
    expect(await run(sandbox, `find ${EVERYWHERE} -name 'floe-plant*' -print 2> /dev/null`)).toBe('');
    expect(await run(sandbox, 'find $HOME -mindepth 1')).toBe('');
    expect(await readdir(join(dir, 'files/runs'))).toEqual([]);
  });

  it('are not visible to one that runs at the same time', async () => {
    const sandbox = await open('beside');
    await using other = await sandbox.prepare('/bin/sh', ['-c', 'touch $HOME/plant /tmp/plant; ls -A $HOME /tmp']);
    expect((await exec(other.file, other.args, { env: other.env, timeoutMs: 60_000 })).stdout.match(/plant/g)).toHaveLength(2);
    expect(await run(sandbox, 'ls -A $HOME /tmp | grep plant')).toBe('');
  });

  it.each([
    ['with control groups or without', exec],
    ['without control groups', createExec({ makesGroups: false })],
  ])('no process, no socket: %s', async (_how, execute) => {
    const sandbox = await open('processes', execute);
    const name = `floe-plant-${createHash('sha256').update(dir).digest('hex')}`;
    const serve = `use IO::Socket::UNIX; use POSIX; my $s = IO::Socket::UNIX->new(Local => "\\0${name}", Listen => 5) or exit 1; print "bound\n"; close STDOUT; close STDERR; fork and exit; POSIX::setsid(); %ENV = (); fork and exit; while (my $c = $s->accept) { print $c "plant" }`;
    const call = `use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => "\\0${name}") or exit; print <$s>`;
    expect(await run(sandbox, `perl -e '${serve}'`, execute)).toBe('bound\n');
    expect(await run(sandbox, `perl -e '${call}'`, execute)).toBe('');
  });

  it('are removed, however unreadable or deep their folders are', async () => {
    const sandbox = await open('deep');
    await run(
      sandbox,
      'mkdir -p /tmp/a/b && chmod 0 /tmp/a; cd $HOME; i=0; while [ $i -lt 300 ]; do n=ddddddddddddddddddddddddddddddddddddddd; mkdir $n; cd $n; i=$((i+1)); done',
    );
    expect(await readdir(join(dir, 'deep/runs'))).toEqual([]);
  });

  it('of a killed process are removed at the next start', async () => {
    await mkdir(join(dir, 'killed/runs/x/home'), { recursive: true });
    await writeFile(join(dir, 'killed/runs/x/home/plant'), '');
    await mkdir(join(dir, 'killed/home/.config/nix'), { recursive: true });
    await open('killed');
    expect(await readdir(join(dir, 'killed'), { recursive: true })).toEqual(expect.not.arrayContaining([expect.stringContaining('plant')]));
    expect(await readdir(join(dir, 'killed/home'))).toEqual([]);
  });
});

describe('a commit that changes whatever it can write', () => {
  const limits = { timeoutMs: 60_000, maxMemoryBytes: 4 * 1024 ** 3, signal: new AbortController().signal };

  async function everything(folder: string): Promise<string> {
    const { stdout } = await exec('sh', ['-c', 'find . -type f ! -name "*.lock*" -exec sha256sum {} + | sort'], { cwd: folder, timeoutMs: 60_000 });
    return stdout;
  }

  it.each([
    ['in the sandbox', open],
    ['without', async (name: string) => await openUnsafeSandbox({ exec, env, dir: join(dir, name) })],
  ])('changes no later one, and Nix copies the repository once: %s', { timeout: 120_000 }, async (how, openIt) => {
    const name = how.replaceAll(' ', '-');
    const sandbox = await openIt(name);
    const nix = createRepositoryNix({ exec, logger: silentLogger, sandbox }, createNix({ exec, logger: silentLogger, env }));
    const spoil = how === 'without' ? 'echo plant > $HOME/plant; rm -rf $HOME/.cache/nix/fetcher*' : PLANT;
    const builder = `export HOME=$(echo $FLOE_HOME); ${spoil}; echo built > $out`;
    const evil = `builtins.readFile (derivation { name = "spoil-${Date.now()}"; system = "${SYSTEM}"; builder = "/bin/sh"; PATH = "/usr/bin:/bin"; FLOE_HOME = "${join(dir, name, 'home')}"; args = [ "-c" ''${builder}'' ]; })`;
    const toplevel = (text: string): string => `derivation { name = "t"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" ''${text}'' ]; }`;
    const outputs = (text: string): string => `{ outputs = { self }: { nixosConfigurations.ada.config.system.build.toplevel = ${text}; }; }`;
    const evaluate = async (url: string): Promise<HostEvaluation[]> => {
      const results: HostEvaluation[] = [];
      await nix.evaluateHosts(url, ['ada' as HostName], { ...limits, concurrency: 1, onResult: (result) => results.push(result) });
      return results;
    };
    const work = await commitFlake(mirror, { 'flake.nix': outputs(toplevel(`\${${evil}}`)) });
    const bare = join(mirror, `${name}.git`);
    const clone = async (url: string): Promise<string> => {
      await exec('git', ['clone', '-q', '--bare', /file:\/\/([^?]*)/.exec(url)?.[1] ?? '', bare], { timeoutMs: 60_000 });
      return url.replace(/file:\/\/[^?]*/, `file://${bare}`);
    };
    const url = await clone(work);
    expect(await nix.listHosts(url, limits)).toMatchObject({ hosts: ['ada'] });
    const kept = join(dir, name, 'repository');
    const before = await everything(kept);
    expect(before).toContain('fetcher-cache');
    expect(await evaluate(url)).toMatchObject([{ kind: 'evaluated' }]);
    expect(await everything(kept)).toBe(before);
    // Nix finds the copy, and does not read the repository again.
    await rm(bare, { recursive: true });
    expect(await evaluate(url)).toMatchObject([{ kind: 'evaluated' }]);
    expect(await readdir(join(dir, name, 'runs'))).toEqual([]);
  });
});

it.each([
  ['the kernel or a look', exec],
  ['a look', createExec({ makesGroups: false })],
])('a build that takes too much memory ends with all its processes, by %s', async (_by, execute) => {
  const sandbox = await open('memory', execute);
  const nix = createRepositoryNix({ exec: execute, logger: silentLogger, sandbox }, createNix({ exec, logger: silentLogger, env }));
  // A process that leaves its process group and session, and clears its environment.
  const hog = `perl -e 'use POSIX; POSIX::setsid(); fork and do { wait; exit 1 }; POSIX::setsid(); %ENV = (); my @all; push @all, "x" x 8000000 while 1'`;
  const url = await commitFlake(mirror, {
    'flake.nix': `{ outputs = { self }: { nixosConfigurations.ada.config.system.build.toplevel = derivation { name = "hog-${Date.now()}"; system = "${SYSTEM}"; builder = "/bin/sh"; PATH = "/usr/bin:/bin"; args = [ "-c" ''${hog} '' ]; }; }; }`,
  });
  const limits = { timeoutMs: 60_000, maxMemoryBytes: 1024 ** 3, signal: new AbortController().signal };
  const results: HostEvaluation[] = [];
  await nix.evaluateHosts(url, ['ada' as HostName], { ...limits, concurrency: 1, onResult: (result) => results.push(result) });
  const [evaluated] = results;
  if (evaluated?.kind !== 'evaluated') throw new Error(JSON.stringify(results));
  const result = await nix.build(evaluated, { ...limits, maxMemoryBytes: 512 * 1024 ** 2, root: join(dir, 'root-hog') });
  expect(result).toMatchObject({ kind: 'failed', code: 'BUILD_FAILED', isRetryable: false });
});

describe('what the garbage collector takes', () => {
  const limits = { timeoutMs: 60_000, maxMemoryBytes: 4 * 1024 ** 3, signal: new AbortController().signal };

  it('is made again, at whatever point of a revision: the source, the derivation and its inputs, the result', { timeout: 120_000 }, async () => {
    const sandbox = await open('collected');
    const own = createNix({ exec, logger: silentLogger, env });
    const nix = createRepositoryNix({ exec, logger: silentLogger, sandbox }, own);
    const unique = `${Date.now()}`;
    const url = await commitFlake(mirror, {
      file: unique,
      'flake.nix': `{ outputs = { self }: { nixosConfigurations.ada.config.system.build.toplevel = derivation { name = "t"; system = "${SYSTEM}"; builder = "/bin/sh"; input = derivation { name = "input-${unique}"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ]; }; file = ./file; args = [ "-c" "read text < $file; echo $text > $out" ]; }; }; }`,
    });
    const bare = join(mirror, 'collected.git');
    await exec('git', ['clone', '-q', '--bare', /file:\/\/([^?]*)/.exec(url)?.[1] ?? '', bare], { timeoutMs: 60_000 });
    const flakeUrl = url.replace(/file:\/\/[^?]*/, `file://${bare}`);
    const evaluate = async (): Promise<Extract<HostEvaluation, { kind: 'evaluated' }>> => {
      const results: HostEvaluation[] = [];
      await nix.evaluateHosts(flakeUrl, ['ada' as HostName], { ...limits, concurrency: 1, onResult: (result) => results.push(result) });
      const [result] = results;
      if (result?.kind !== 'evaluated') throw new Error(JSON.stringify(results));
      return result;
    };
    const store = async (...args: string[]): Promise<string> => {
      const result = await exec('nix-store', args, { env, timeoutMs: 60_000 });
      if (result.exitCode !== 0) throw new Error(result.stderr);
      return result.stdout.trim();
    };
    const root = join(dir, 'root-collected');
    await nix.listHosts(flakeUrl, limits);
    const first = await evaluate();
    const closure = (await store('--query', '--requisites', first.drvPath)).split('\n');
    expect(closure.length).toBeGreaterThanOrEqual(3);
    // The fleet's own files, which Nix copied for the evaluation.
    await using asked = await sandbox.prepare('nix', [
      'eval',
      '--raw',
      '--expr',
      `(builtins.getFlake "${flakeUrl}").outPath`,
      '--extra-experimental-features',
      'nix-command flakes',
    ]);
    const source = (await exec(asked.file, asked.args, { env: asked.env, timeoutMs: 60_000 })).stdout;
    // Dependents before their dependencies, as the garbage collector does.
    for (const path of [...closure.toReversed(), source]) await store('--delete', path).catch(() => undefined);
    expect(await own.isValid(source as typeof first.toplevel)).toBe(false);
    expect(await nix.build(first, { ...limits, root })).toMatchObject({ kind: 'failed', code: 'BUILD_DERIVATION_MISSING', isRetryable: true });
    const again = await evaluate();
    expect(again).toMatchObject({ drvPath: first.drvPath, toplevel: first.toplevel });
    expect(await nix.build(again, { ...limits, root })).toMatchObject({ kind: 'built' });
    // The GC root protects the build result until it is removed; then it is built again.
    await expect(store('--delete', first.toplevel)).rejects.toThrow();
    await own.removeRoot(root);
    await store('--delete', first.toplevel);
    const { secretKeyFile } = await loadOrCreateCacheKey(join(dir, 'key'), 'test-1');
    const publish = async (): Promise<void> =>
      await own.publish([first.toplevel], { cacheUrl: `file://${dir}/cache`, secretKeyFile, signal: limits.signal });
    await expect(publish()).rejects.toMatchObject({ retryable: true });
    expect(await nix.build(again, { ...limits, root })).toMatchObject({ kind: 'built' });
    await publish();
  });
});
