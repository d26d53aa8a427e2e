import { chmod, cp, lstat, mkdir, mkdtemp, readFile, readdir, readlink, rm, writeFile } from 'node:fs/promises';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { HostName, StorePath } from '@floe/model';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type BuildProgress,
  createNix,
  createRepositoryNix,
  EvaluationGate,
  loadOrCreateCacheKey,
  openSandbox,
  type HostEvaluation,
  type Nix,
  type RepositoryNix,
} from './index.ts';

const SETTINGS = ['experimental-features = nix-command flakes', 'substituters =', 'sandbox = false', 'build-users-group ='].join('\n');
const SYSTEM = process.arch === 'arm64' ? 'aarch64-linux' : 'x86_64-linux';
const signal = new AbortController().signal;
const limits = { timeoutMs: 60_000, maxMemoryBytes: 4 * 1024 ** 3, signal };

/** A host that builds a folder with one file. The unique text makes its store path unique to this run. */
const host = (name: string, script: string): string =>
  `nixosConfigurations.${name}.config.system.build.toplevel = derivation { name = "system-${name}"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" ''${script}'' ]; PATH = "/usr/bin:/bin:/run/current-system/sw/bin"; unique = "${unique}"; };`;
const broken = (name: string, expression: string): string => `nixosConfigurations.${name}.config.system.build.toplevel = ${expression};`;

/** Evaluates for hours in little memory. */
const ENDLESS = 'builtins.length (builtins.filter (x: builtins.length (builtins.genList (i: i) 1000000) < 0) (builtins.genList (i: i) 300000))';

/** A string in the format of Nix's archives. */
function narString(text: string): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([size, Buffer.from(text), Buffer.alloc((8 - (text.length % 8)) % 8)]);
}

const gate = new EvaluationGate({ most: 8, availableBytes: () => 64 * 1024 ** 3 });
let unique = '';
let dir = '';
let nix: Nix;
let repositoryNix: RepositoryNix;
let hostsAt: (attribute: string | undefined) => RepositoryNix;
let flakes = 0;

async function flake(outputs: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
  return await repository({ 'flake.nix': `{ outputs = { self }: { ${outputs} }; }`, ...files });
}

async function repository(files: Readonly<Record<string, string>>): Promise<string> {
  flakes += 1;
  const repo = join(dir, `repo-${flakes}`);
  await mkdir(repo);
  for (const [name, content] of Object.entries(files)) await writeFile(join(repo, name), content);
  const env = {
    ...process.env,
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'a',
    GIT_AUTHOR_EMAIL: 'a@b',
    GIT_COMMITTER_NAME: 'a',
    GIT_COMMITTER_EMAIL: 'a@b',
  };
  const git = async (...args: string[]): Promise<string> => {
    const result = await execInTest('git', ['-C', repo, ...args], { env });
    expect(result.exitCode, result.stderr).toBe(0);
    return result.stdout.trim();
  };
  await git('init', '-q', '-b', 'main');
  await git('add', '-A');
  await git('commit', '-q', '--allow-empty', '-m', 'x');
  return `git+file://${repo}?ref=main&rev=${await git('rev-parse', 'HEAD')}`;
}

async function evaluate(
  url: string,
  hosts: readonly string[],
  options: { timeoutMs?: number; maxMemoryBytes?: number; signal?: AbortSignal } = {},
): Promise<Map<string, HostEvaluation>> {
  const results = new Map<string, HostEvaluation>();
  await repositoryNix.evaluateHosts(url, hosts as readonly HostName[], {
    concurrency: 2,
    timeoutMs: 60_000,
    maxMemoryBytes: 4 * 1024 ** 3,
    signal,
    ...options,
    onResult: (result) => results.set(result.host, result),
  });
  return results;
}

async function evaluated(url: string, name: string): Promise<{ drvPath: string; toplevel: StorePath }> {
  const result = (await evaluate(url, [name])).get(name);
  if (result?.kind !== 'evaluated') throw new Error(`${name} does not evaluate: ${JSON.stringify(result)}`);
  return result;
}

async function built(url: string, name: string): Promise<StorePath> {
  const target = await evaluated(url, name);
  const result = await repositoryNix.build(target, { signal, timeoutMs: 60_000, root: join(dir, 'roots', name) });
  expect(result).toMatchObject({ kind: 'built' });
  return target.toplevel;
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-nix-'));
  unique = dir;
  const env = { PATH: process.env['PATH'], HOME: dir, NIX_CONFIG: SETTINGS };
  nix = createNix({ exec, logger: silentLogger, env });
  const sandbox = await openSandbox(
    { exec, env, dir: join(dir, 'sandbox'), readable: [dir] },
    { secrets: [], programs: [], nonce: dir, mayBuildsChangeStore: true },
  );
  hostsAt = (hostsAttribute) => createRepositoryNix({ exec, logger: silentLogger, sandbox, gate, hostsAttribute }, nix);
  repositoryNix = hostsAt(undefined);
});
afterAll(async () => {
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

describe('listing hosts', () => {
  it('recovers from an incomplete copy of the repository that a killed Nix left in its cache', async () => {
    const source = await flake('nixosConfigurations = { ada = { }; };');
    const bare = join(dir, 'mirror.git');
    // Nix only makes a copy of a bare repository, which the server's mirror is.
    expect(
      (await execInTest('git', ['clone', '-q', '--bare', /file:\/\/([^?]*)/.exec(source)?.[1] ?? '', bare], { env: process.env })).exitCode,
    ).toBe(0);
    const url = source.replace(/file:\/\/[^?]*/, `file://${bare}`);
    await repositoryNix.listHosts(url, limits);
    const copies = join(dir, 'sandbox/repository/.cache/nix/gitv3');
    const [copy] = await readdir(copies);
    expect(copy).toBeDefined();
    // Killed between creating the folder and its HEAD: git never accepts it as a repository.
    for (const name of await readdir(copies)) if (!name.endsWith('.lock')) await rm(join(copies, name, 'HEAD'), { force: true });
    expect(await repositoryNix.listHosts(url, limits)).toEqual({ hosts: ['ada'], invalid: [], clashing: [], hasPolicy: false });
  });

  it('lists all hosts, including broken ones, and leaves out invalid names', async () => {
    const url = await flake(
      `${host('ada', 'mkdir $out')} ${broken('bad', 'throw "no"')} nixosConfigurations."not a host" = { }; nixosConfigurations."web.example.org" = { }; nixosConfigurations.".." = { }; nixosConfigurations."a..b" = { }; nixosConfigurations.Cyd = { }; nixosConfigurations.cyd = { };`,
    );
    expect(await repositoryNix.listHosts(url, limits)).toEqual({
      hosts: ['ada', 'bad', 'web.example.org'],
      invalid: ['..', 'a..b', 'not a host'],
      clashing: ['Cyd', 'cyd'],
      hasPolicy: false,
    });
  });

  it('finds, evaluates and asks hosts where the setting says that they are', async () => {
    const own = (name: string, floe: string): string =>
      `colmenaHive.nodes.${name}.config = { services = { ${floe} }; system.build.toplevel = derivation { name = "${name}"; system = "${SYSTEM}"; builder = "/bin/sh"; }; };`;
    const url = await flake(
      `nixosConfigurations.installer = throw "not asked"; ${own('ada', 'floe.agent.enable = true;')} ${own('iso', '')}
       homes.alice.config = { services = { }; home.activationPackage = derivation { name = "home"; system = "${SYSTEM}"; builder = "/bin/sh"; }; };`,
    );
    const ask = async (attribute: string): Promise<Map<string, string>> => {
      const at = hostsAt(attribute);
      const results = new Map<string, string>();
      const { hosts } = await at.listHosts(url, limits);
      const onResult = (result: HostEvaluation): void =>
        void results.set(result.host, result.kind === 'evaluated' ? result.toplevel.slice('/nix/store/'.length + 33) : result.kind);
      await at.evaluateHosts(url, hosts, { ...limits, concurrency: 2, isAsked: () => true, onResult });
      return results;
    };
    expect(await ask('colmenaHive.nodes')).toEqual(
      new Map([
        ['ada', 'ada'],
        ['iso', 'not-ours'],
      ]),
    );
    // Home Manager has services, too, and says nothing about the agent.
    expect(await ask('homes')).toEqual(new Map([['alice', 'home']]));
  });

  it.each([
    ['no flake.nix', { 'README.md': 'hello' }, 'FLAKE_INVALID', /flake\.nix/],
    [
      'a flake.nix that does not parse',
      { 'flake.nix': '{ outputs = { self }: { nixosConfigurations = ; }; }' },
      'FLAKE_INVALID',
      /syntax error.*\(flake\.nix:1:\d+\)/,
    ],
    ['a flake that throws', { 'flake.nix': '{ outputs = { self }: throw "closed for today"; }' }, 'FLAKE_INVALID', /closed for today/],
    [
      'no nixosConfigurations',
      { 'flake.nix': '{ outputs = { self }: { packages = { }; }; }' },
      'FLAKE_HAS_NO_HOSTS',
      /no output nixosConfigurations/,
    ],
    ['no hosts', { 'flake.nix': '{ outputs = { self }: { nixosConfigurations = { }; }; }' }, 'FLAKE_HAS_NO_HOSTS', /is empty/],
    [
      'no nixosConfigurations but other outputs',
      { 'flake.nix': '{ outputs = { self }: { packages = { }; lib = { }; }; }' },
      'FLAKE_HAS_NO_HOSTS',
      /it has lib, packages\. .*evaluate\.attribute/,
    ],
    [
      'hosts of colmena',
      { 'flake.nix': '{ outputs = { self }: { colmena = throw "not read"; colmenaHive.nodes = { ada = throw "not read"; bob = { }; }; }; }' },
      'FLAKE_HAS_NO_HOSTS',
      /no output nixosConfigurations: it has colmenaHive\.nodes with 2 names\..*evaluate\.attribute of the server to colmenaHive\.nodes/,
    ],
    [
      'an empty set beside machines of nix-darwin',
      { 'flake.nix': '{ outputs = { self }: { nixosConfigurations = { }; colmenaHive = throw "closed"; darwinConfigurations.mac = { }; }; }' },
      'FLAKE_HAS_NO_HOSTS',
      /is empty: it has darwinConfigurations with 1 name\./,
    ],
    [
      'colmena without its hive',
      { 'flake.nix': '{ outputs = { self }: { colmena = { meta = { }; ada = { }; }; }; }' },
      'FLAKE_HAS_NO_HOSTS',
      /add colmenaHive = colmena\.lib\.makeHive self\.outputs\.colmena/,
    ],
  ])('reports what is wrong with %s', async (_name, files, code, message) => {
    const url = await repository(files);
    const error: unknown = await repositoryNix.listHosts(url, limits).catch((caught: unknown) => caught);
    expect(error).toMatchObject({ code, retryable: false, message: expect.stringMatching(message) as string });
    expect(String(error)).not.toMatch(/\/nix\/store/);
  });
});

describe('evaluating', () => {
  it('measures what an evaluation takes', async () => {
    const list = 'builtins.length (builtins.sort (a: b: a < b) (builtins.genList (i: 3000000 - i) 3000000))';
    const large = host('large', `echo \${toString (${list})} > $out`);
    const url = await flake(large);
    expect((await evaluate(url, ['large'])).get('large')).toMatchObject({ kind: 'evaluated' });
    expect(gate.expectedBytes).toBeGreaterThan(3_000_000 * 8);
    expect(gate.expectedBytes).toBeLessThan(0.8 * 1024 ** 3);
  });

  it('reports the derivation of each working host, and the error of each broken one with its location in the repository', async () => {
    const url = await flake(
      [
        host('ada', 'mkdir $out'),
        broken('throws', 'throw "host says no"'),
        broken('missing', '{ }.nothing'),
        broken('syntax', 'import ./bad.nix'),
        broken('recursive', 'let x = x; in x'),
        broken('deep', 'let f = n: 1 + f n; in f 0'),
        broken('aborts', 'abort "stop"'),
        'nixosConfigurations.bare = { };',
      ].join('\n'),
      { 'bad.nix': '{ a = [ ; }' },
    );
    const results = await evaluate(url, ['ada', 'throws', 'missing', 'syntax', 'recursive', 'deep', 'aborts', 'bare']);
    expect(results.get('ada')).toMatchObject({
      kind: 'evaluated',
      system: SYSTEM,
      toplevel: expect.stringMatching(/^\/nix\/store\/.*-system-ada$/) as string,
    });
    const errors = new Map([...results].flatMap(([name, result]) => (result.kind === 'failed' ? [[name, result.error] as const] : [])));
    expect(errors.get('throws')).toBe('host says no');
    expect(errors.get('missing')).toMatch(/^attribute 'nothing' missing \(flake\.nix:\d+:\d+\)/);
    expect(errors.get('syntax')).toMatch(/^syntax error.*\(bad\.nix:1:9\)/);
    expect(errors.get('recursive')).toMatch(/^infinite recursion/);
    expect(errors.get('deep')).toMatch(/recursion|max-call-depth/);
    expect(errors.get('aborts')).toMatch(/stop/);
    expect(errors.get('bare')).toMatch(/attribute 'config' missing/);
    expect([...errors.values()].join()).not.toMatch(/\/nix\/store|show-trace/);
  });

  it('stops a host that never ends and one that needs too much memory; the others continue', async () => {
    const url = await flake(
      `${host('ada', 'mkdir $out')}
       ${broken('endless', ENDLESS)}
       ${broken('hungry', 'builtins.length (builtins.concatLists (builtins.genList (i: builtins.genList (j: i + j) 100000) 100000))')}`,
    );
    const timed = await evaluate(url, ['endless', 'ada'], { timeoutMs: 3_000 });
    expect(timed.get('endless')).toMatchObject({ kind: 'failed', code: 'EVALUATION_TIMED_OUT', error: expect.stringContaining('3 s') as string });
    expect(timed.get('ada')).toMatchObject({ kind: 'evaluated' });
    const limited = await evaluate(url, ['hungry', 'ada'], { maxMemoryBytes: 1024 ** 3 });
    expect(limited.get('hungry')).toMatchObject({
      kind: 'failed',
      code: 'EVALUATION_OUT_OF_MEMORY',
      error: expect.stringContaining('1024 MiB') as string,
    });
    expect(limited.get('ada')).toMatchObject({ kind: 'evaluated' });
  });

  it('gives a host that names its commit another derivation with each commit, and any other host the same', async () => {
    const outputs = `${host('ada', 'mkdir $out')} ${host('bob', 'echo ${self.rev or "dirty"} > $out')}`;
    const [first, second] = [await flake(outputs), await flake(outputs, { 'README.md': 'changed' })];
    const [one, two] = [await evaluate(first, ['ada', 'bob']), await evaluate(second, ['ada', 'bob'])];
    const path = (results: Map<string, HostEvaluation>, name: string): string | undefined => {
      const result = results.get(name);
      return result?.kind === 'evaluated' ? result.toplevel : undefined;
    };
    expect(path(one, 'ada')).toBe(path(two, 'ada'));
    expect(path(one, 'bob')).not.toBe(path(two, 'bob'));
  });

  it('returns when it is stopped, without results for unfinished hosts', async () => {
    const url = await flake(broken('endless', ENDLESS));
    const controller = new AbortController();
    const running = evaluate(url, ['endless'], { signal: controller.signal });
    controller.abort();
    expect((await running).size).toBe(0);
  });
});

describe('building', () => {
  it('builds, and keeps the result by a GC root', async () => {
    const toplevel = await built(await flake(host('kept', 'mkdir $out; echo hi > $out/hi')), 'kept');
    expect(await readlink(join(dir, 'roots/kept'))).toBe(toplevel);
    expect(await readFile(join(nix.storeFilePath(toplevel), 'hi'), 'utf8')).toBe('hi\n');
    expect(await nix.isValid(toplevel)).toBe(true);
  });

  it('reports why a build failed, with the end of its log', async () => {
    const target = await evaluated(await flake(host('fails', 'echo compiling; echo no such header >&2; exit 3')), 'fails');
    const result = await repositoryNix.build(target, { signal, timeoutMs: 60_000, root: join(dir, 'roots/fails') });
    expect(result).toMatchObject({
      kind: 'failed',
      code: 'BUILD_FAILED',
      error: expect.stringMatching(/exit code 3[^]*compiling\nno such header/) as string,
    });
    expect(JSON.stringify(result)).not.toContain('/nix/store');
  });

  it('tells what is built, and each line that it prints', async () => {
    const target = await evaluated(await flake(host('talks', 'echo one; echo two >&2; mkdir $out')), 'talks');
    const told: BuildProgress[] = [];
    const onProgress = (progress: BuildProgress): void => void told.push(progress);
    expect(await repositoryNix.build(target, { signal, timeoutMs: 60_000, root: join(dir, 'roots/talks'), onProgress })).toMatchObject({
      kind: 'built',
    });
    const derivation = told[0]?.derivation ?? '';
    expect(target.drvPath).toContain(`-${derivation}.drv`);
    expect(told).toEqual([undefined, 'one', 'two'].map((line) => ({ derivation, line })));
  });

  it('builds checks of the flake, for the system of this machine', async () => {
    const checkOf = (name: string, script: string): string =>
      `checks.${SYSTEM}."${name}" = derivation { name = "check"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "${script}" ]; unique = "${unique}"; };`;
    const url = await flake(
      `${checkOf('unit tests', 'echo > $out')} ${checkOf('failing', 'echo 3 of 4 tests failed >&2; exit 3')} checks.${SYSTEM}.number = 5; nixosConfigurations.ada = { };`,
    );
    const outcome = async (name: string): Promise<unknown> => {
      const check = await repositoryNix.evaluateCheck(url, name, limits);
      if (check.kind === 'failed') return check.error;
      const result = await repositoryNix.build(check.target, { signal, timeoutMs: 60_000, root: join(dir, 'roots/check') });
      return result.kind === 'built' ? 'built' : result.error;
    };
    expect(await outcome('unit tests')).toBe('built');
    expect(await outcome('failing')).toMatch(/exit code 3[^]*3 of 4 tests failed/);
    expect(await outcome('fialing')).toBe(`the flake has no such output in checks.${SYSTEM}; did you mean failing?`);
    expect(await outcome('a"${b}')).toBe(`the flake has no such output in checks.${SYSTEM}; there are failing, number, unit tests`);
    expect(await outcome('number')).toMatch(/^it cannot be evaluated: .*(?:integer|int)/);
  });

  it('stops a build that never ends', async () => {
    const target = await evaluated(await flake(host('slow', 'while :; do :; done')), 'slow');
    const result = await repositoryNix.build(target, { signal, timeoutMs: 1_500, root: join(dir, 'roots/slow') });
    expect(result).toMatchObject({ kind: 'failed', code: 'BUILD_TIMED_OUT' });
  });
});

describe('publishing and downloading', () => {
  async function published(
    name: string,
    script = `mkdir $out; echo ${name} > $out/name`,
  ): Promise<{ toplevel: StorePath; cache: string; cacheUrl: string; publicKey: string; secretKeyFile: string }> {
    const toplevel = await built(await flake(host(name, script)), name);
    const cache = join(dir, `cache-${name}`);
    const key = await loadOrCreateCacheKey(join(dir, `key-${name}`), 'test-1');
    await nix.publish([toplevel], { cacheUrl: `file://${cache}`, secretKeyFile: key.secretKeyFile, signal });
    return { toplevel, cache, cacheUrl: `file://${cache}`, ...key };
  }
  const machine = (name: string): Nix =>
    createNix({
      exec,
      logger: silentLogger,
      env: { PATH: process.env['PATH'], HOME: join(dir, name), NIX_CONFIG: SETTINGS },
      store: { kind: 'root', dir: join(dir, name) },
    });

  it('publishes with signatures, reads back, and a separate store downloads it with progress', async () => {
    const { toplevel, cacheUrl, publicKey } = await published('mary', 'mkdir $out; head -c 3000000 /dev/urandom > $out/blob');
    expect((await nix.readBack({ urls: [cacheUrl], publicKeys: [publicKey] }, [toplevel])).get(toplevel)).toMatchObject({
      narHash: expect.stringMatching(/^sha256/) as string,
      closureSizeBytes: expect.toSatisfy((size: number) => size > 3_000_000) as number,
    });
    const away = machine('away');
    expect(await away.isValid(toplevel)).toBe(false);
    const progress: { doneBytes: number; totalBytes: number }[] = [];
    await away.realise(toplevel, {
      root: join(dir, 'away/root'),
      substituters: [cacheUrl],
      trustedPublicKeys: [publicKey],
      onProgress: (each) => progress.push(each),
    });
    expect(await away.isValid(toplevel)).toBe(true);
    expect(progress.at(-1)?.doneBytes).toBeGreaterThan(2_900_000);
    expect(await readdir(away.storeFilePath(toplevel))).toEqual(['blob']);

    const profile = join(dir, 'away/nix/var/nix/profiles/system');
    await away.setProfile(profile, toplevel);
    expect(await readlink(join(dirname(profile), await readlink(profile)))).toBe(toplevel);
    await away.addRoot(join(dir, 'away/kept'), toplevel);
    expect(await readlink(join(dir, 'away/kept'))).toBe(toplevel);
  });

  it('does not publish with another key than the one to verify with', async () => {
    const { toplevel, cacheUrl } = await published('other');
    const stranger = await loadOrCreateCacheKey(join(dir, 'key-stranger'), 'test-1');
    await expect(nix.readBack({ urls: [cacheUrl], publicKeys: [stranger.publicKey] }, [toplevel])).rejects.toMatchObject({
      code: 'CACHE_PATH_UNSIGNED',
    });
  });

  it('refuses a path that no trusted key signed, and accepts it once the key is trusted', async () => {
    const { toplevel, cacheUrl, publicKey } = await published('unsigned');
    const stranger = await loadOrCreateCacheKey(join(dir, 'key-stranger'), 'test-1');
    const away = machine('away-unsigned');
    const options = { root: join(dir, 'away-unsigned/root'), substituters: [cacheUrl] };
    await expect(away.realise(toplevel, { ...options, trustedPublicKeys: [stranger.publicKey] })).rejects.toMatchObject({
      code: 'STORE_PATH_UNTRUSTED',
      retryable: true,
    });
    expect(await away.isValid(toplevel)).toBe(false);
    // A Nix that knows no limit of speed downloads nevertheless.
    await away.realise(toplevel, { ...options, trustedPublicKeys: [publicKey], maxBytesPerSecond: 1024 ** 3 });
  });

  it('reports without a download whether one would be possible', async () => {
    const { toplevel, cacheUrl, publicKey } = await published('provable');
    const stranger = await loadOrCreateCacheKey(join(dir, 'key-stranger'), 'test-1');
    const away = machine('away-provable');
    const by = { substituters: ['http://127.0.0.1:9', cacheUrl], trustedPublicKeys: [stranger.publicKey] };
    expect(await away.cacheTrust(toplevel, by)).toBe('untrusted');
    expect(await away.cacheTrust(toplevel, { ...by, trustedPublicKeys: [publicKey] })).toBe('trusted');
    expect(await away.cacheTrust(toplevel, { ...by, substituters: ['http://127.0.0.1:9'] })).toBe('absent');
    expect(await away.isValid(toplevel)).toBe(false);
  });

  it('refuses a tampered archive, and accepts the original afterwards', async () => {
    const { toplevel, cache, cacheUrl, publicKey } = await published('tampered');
    const fake = await published('fake');
    const narinfo = async (from: string, path: string): Promise<{ file: string; text: string }> => {
      const file = join(from, `${path.slice('/nix/store/'.length, '/nix/store/'.length + 32)}.narinfo`);
      return { file, text: await readFile(file, 'utf8') };
    };
    const [mine, theirs] = [await narinfo(cache, toplevel), await narinfo(fake.cache, fake.toplevel)];
    const nar = (text: string): string => /^URL: (.*)$/m.exec(text)?.[1] ?? '';
    const target = join(cache, nar(mine.text));
    const original = await readFile(target);
    await chmod(target, 0o644);
    await writeFile(target, await readFile(join(fake.cache, nar(theirs.text))));
    const away = machine('away-tampered');
    const options = { root: join(dir, 'away-tampered/root'), substituters: [cacheUrl], trustedPublicKeys: [publicKey] };
    await expect(away.realise(toplevel, options)).rejects.toMatchObject({ code: 'STORE_PATH_UNTRUSTED' });
    expect(await away.isValid(toplevel)).toBe(false);
    await writeFile(target, original);
    await away.realise(toplevel, options);
    expect(await readFile(join(away.storeFilePath(toplevel), 'name'), 'utf8')).toBe('tampered\n');
  });

  it('stops a cache that sends more than was signed, removes it, and downloads the path from another', async () => {
    const { toplevel, cache, cacheUrl, publicKey } = await published('bomb');
    const narinfo = await readFile(join(cache, `${toplevel.slice('/nix/store/'.length, '/nix/store/'.length + 32)}.narinfo`), 'utf8');
    const good = join(dir, 'cache-good-bomb');
    await cp(cache, good, { recursive: true });
    const target = join(cache, /^URL: (.*)$/m.exec(narinfo)?.[1] ?? '');
    await chmod(target, 0o644);
    // An archive with one file of 2 GB of zeros, with the original narinfo.
    const header = ['nix-archive-1', '(', 'type', 'regular', 'contents'].map(narString);
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(2n ** 31n);
    await writeFile(join(dir, 'bomb-head'), Buffer.concat([...header, size]));
    const compress = /\.(xz|zst|bz2)$/.exec(target)?.[1] === 'zst' ? 'zstd' : 'xz -0';
    const made = await execInTest('sh', ['-c', `(cat ${dir}/bomb-head; head -c ${2 ** 31} /dev/zero) | ${compress} > ${target}`]);
    expect(made.exitCode, made.stderr).toBe(0);

    const away = machine('away-bomb');
    const options = { root: join(dir, 'away-bomb/root'), trustedPublicKeys: [publicKey], maxBytes: 1_000_000 };
    const store = join(away.storeFilePath('/nix/store' as StorePath));
    let mostBytes = 0;
    const looking = setInterval(() => {
      void lstat(away.storeFilePath(toplevel)).then(
        (file) => (mostBytes = Math.max(mostBytes, file.size)),
        () => undefined,
      );
    }, 5);
    try {
      await expect(away.realise(toplevel, { ...options, substituters: [cacheUrl] })).rejects.toMatchObject({
        code: 'STORE_PATH_TOO_LARGE',
        retryable: false,
        message: expect.stringContaining(cacheUrl) as string,
      });
    } finally {
      clearInterval(looking);
    }
    expect(mostBytes).toBeLessThan(1e9);
    expect((await readdir(store)).filter((name) => !name.endsWith('.lock') && name !== '.links')).toEqual([]);
    await away.realise(toplevel, { ...options, substituters: [`${cacheUrl}/`, `file://${good}`] });
    expect(await readFile(join(away.storeFilePath(toplevel), 'name'), 'utf8')).toBe('bomb\n');
  });

  // A small one arrives completely before Nix is stopped.
  it.each([200_000, 3_000_000])('keeps no path outside of the closure of the release, one with %d bytes', async (size) => {
    const { toplevel, cacheUrl, publicKey } = await published(`larger-${size}`, `mkdir $out; head -c ${size} /dev/urandom > $out/blob`);
    const away = machine(`away-larger-${size}`);
    const options = { root: join(dir, `away-larger-${size}/root`), trustedPublicKeys: [publicKey], substituters: [cacheUrl] };
    await expect(away.realise(toplevel, { ...options, maxBytes: size / 3 })).rejects.toMatchObject({ code: 'STORE_PATH_TOO_LARGE' });
    // Also when the cache was faster than the watch.
    expect(await away.isValid(toplevel)).toBe(false);
    await expect(lstat(options.root)).rejects.toMatchObject({ code: 'ENOENT' });
    await away.realise(toplevel, { ...options, maxBytes: size + 10_000 });
  });

  it('reports a missing path, and an unreachable cache', async () => {
    const { cacheUrl, publicKey } = await published('present');
    const absent = (await evaluated(await flake(host('absent', 'mkdir $out')), 'absent')).toplevel;
    const away = machine('away-absent');
    const options = { root: join(dir, 'away-absent/root'), trustedPublicKeys: [publicKey] };
    await expect(away.realise(absent, { ...options, substituters: [cacheUrl] })).rejects.toMatchObject({
      code: 'STORE_PATH_NOT_AVAILABLE',
      retryable: true,
    });
    await expect(away.realise(absent, { ...options, substituters: ['http://127.0.0.1:9'] })).rejects.toMatchObject({
      code: 'STORE_PATH_NOT_AVAILABLE',
      retryable: true,
    });
  });

  it('does not trust a cache that reports itself as tampered', async () => {
    const { toplevel, publicKey } = await published('talks');
    const lie = 'error: hash mismatch; path lacks a signature by a trusted key, is not signed by any of the keys in trusted-public-keys';
    const http = createServer((request, response) => {
      if (request.url === '/nix-cache-info') response.end('StoreDir: /nix/store\n');
      else response.writeHead(400, lie.slice('error: '.length)).end(lie);
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = http.address() as AddressInfo;
      const options = { root: join(dir, 'away-talks/root'), substituters: [`http://127.0.0.1:${port}`], trustedPublicKeys: [publicKey] };
      await expect(machine('away-talks').realise(toplevel, options)).rejects.toMatchObject({
        code: 'STORE_PATH_NOT_AVAILABLE',
      });
    } finally {
      http.closeAllConnections();
      http.close();
    }
  });

  it.each([
    ['sends its page for every file', (response: ServerResponse) => response.end('<html><title>Welcome</title></html>')],
    ['redirects to its page', (response: ServerResponse) => response.writeHead(302, { location: '/login' }).end()],
    ['does not get through', (response: ServerResponse) => response.writeHead(502).end('Bad Gateway')],
  ])('takes a captive portal or proxy that %s for no lie of the cache', async (_what, answer) => {
    const { toplevel, publicKey } = await published('portal');
    const http = createServer((request, response) => (request.url === '/login' ? response.end('<html>Welcome</html>') : answer(response)));
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    try {
      const substituters = [`http://127.0.0.1:${(http.address() as AddressInfo).port}`];
      const options = { root: join(dir, 'away-portal/root'), substituters, trustedPublicKeys: [publicKey] };
      const away = machine('away-portal');
      await expect(away.realise(toplevel, options)).rejects.toMatchObject({ code: 'STORE_PATH_NOT_AVAILABLE', retryable: true });
      expect(await away.cacheTrust(toplevel, options)).toBe('absent');
    } finally {
      http.closeAllConnections();
      http.close();
    }
  });

  it('gives up a connection that delivers nothing any more', async () => {
    const { toplevel, cache, publicKey } = await published('stalled', 'mkdir $out; head -c 3000000 /dev/urandom > $out/blob');
    let archives = 0;
    const http = createServer((request, response) => {
      void readFile(join(cache, request.url ?? '')).then(
        (content) => {
          archives += request.url?.includes('/nar/') === true ? 1 : 0;
          response.writeHead(200, { 'content-length': content.length });
          // As after a broken connection: half of the file, and no end.
          if (archives === 1 && request.url?.includes('/nar/') === true) response.write(content.subarray(0, content.length / 2));
          else response.end(content);
        },
        () => response.writeHead(404).end(),
      );
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    try {
      const { port } = http.address() as AddressInfo;
      const away = machine('away-stalled');
      const substituters = [`http://127.0.0.1:${port}`];
      const options = { root: join(dir, 'away-stalled/root'), substituters, trustedPublicKeys: [publicKey], stalledAfterSeconds: 1 };
      await expect(away.realise(toplevel, options)).rejects.toMatchObject({ code: 'STORE_PATH_NOT_AVAILABLE', retryable: true });
      await away.realise(toplevel, options);
    } finally {
      http.closeAllConnections();
      http.close();
    }
  });

  // Only root can create a disk small enough to fill.
  it.skipIf(process.getuid?.() !== 0)('reports a full disk, and publishes once there is space', async () => {
    const toplevel = await built(await flake(host('large', 'mkdir $out; head -c 3000000 /dev/urandom > $out/blob')), 'large');
    const { secretKeyFile, publicKey } = await loadOrCreateCacheKey(join(dir, 'key-large'), 'test-1');
    const disk = join(dir, 'small-disk');
    await mkdir(disk);
    const mount = async (...args: string[]): Promise<void> => {
      const result = await execInTest('mount', args);
      expect(result.exitCode, result.stderr).toBe(0);
    };
    await mount('-t', 'tmpfs', '-o', 'size=1m', 'floe-test', disk);
    try {
      const options = { cacheUrl: `file://${disk}`, secretKeyFile, signal };
      await expect(nix.publish([toplevel], options)).rejects.toMatchObject({ code: 'DISK_FULL', retryable: true });
      await mount('-o', 'remount,size=20m', disk);
      await nix.publish([toplevel], options);
      await nix.readBack({ urls: [`file://${disk}`], publicKeys: [publicKey] }, [toplevel]);
    } finally {
      await execInTest('umount', [disk]);
    }
  });
});

describe('the cache key', () => {
  it('is created once, readable only by its owner, and never replaced', async () => {
    const path = join(dir, 'keys/cache');
    const first = await loadOrCreateCacheKey(path, 'fleet-1');
    expect(first.publicKey).toMatch(/^fleet-1:[A-Za-z0-9+/]{43}=$/);
    expect(await loadOrCreateCacheKey(path, 'other-name')).toEqual(first);
    await writeFile(path, 'nonsense');
    await expect(loadOrCreateCacheKey(path, 'fleet-1')).rejects.toMatchObject({ code: 'CACHE_KEY_INVALID' });
    expect(await readFile(path, 'utf8')).toBe('nonsense');
  });
});
