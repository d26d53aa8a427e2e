import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { testNixSettings } from '@floe/testkit';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createRepositoryNix, openUnsafeSandbox, type HostEvaluation, type RepositoryNix, type Sandbox } from './index.ts';
import { commitFlake, SYSTEM } from './test/worlds.ts';

// Repositories that are no flake: a file gives the hosts, and Nix evaluates it as purely as a flake.

const limits = { timeoutMs: 60_000, maxMemoryBytes: 4 * 1024 ** 3, signal: new AbortController().signal };
let dir = '';
let sandbox: Sandbox;
let nix: RepositoryNix;
let ofFlakes: RepositoryNix;

function nixOf(hostsFile?: string): RepositoryNix {
  return createRepositoryNix({ exec, logger: silentLogger, sandbox, hostsFile }, { addRoot: async () => await Promise.resolve() });
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-hosts-file-'));
  const env = { ...process.env, NIX_CONFIG: testNixSettings, NIX_PATH: 'nixpkgs=/etc', FLOE_TEST: 'seen' };
  sandbox = await openUnsafeSandbox({ exec, env, dir: join(dir, 'sandbox') });
  nix = nixOf('nix/hosts.nix');
  ofFlakes = nixOf();
});
afterAll(async () => {
  await execInTest('chmod', ['-R', 'u+w', dir]);
  await rm(dir, { recursive: true, force: true });
});

/** Of each host its derivation, or its error. */
async function evaluate(by: RepositoryNix, url: string): Promise<Record<string, HostEvaluation>> {
  const results: Record<string, HostEvaluation> = {};
  const { hosts } = await by.listHosts(url, limits);
  await by.evaluateHosts(url, hosts, { ...limits, concurrency: 2, onResult: (result) => void (results[result.host] = result) });
  return results;
}

async function hostOf(
  url: string,
  host = 'ada',
): Promise<Pick<HostEvaluation, 'kind'> & { readonly error?: string; readonly drvPath?: string; readonly isRetryable?: boolean }> {
  const result = (await evaluate(nix, url))[host];
  if (result === undefined) throw new Error('no result');
  return result;
}

const SYSTEM_OF = `text: { config.system.build.toplevel = derivation { name = "t"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" text ]; }; }`;

describe('the file', () => {
  const hosts = `let system = ${SYSTEM_OF}; in { ada = system (builtins.readFile ../role); bob = system "b"; }`;
  it.each([
    ['is a set of hosts', hosts, false],
    ['is a function of nothing', `{ }: ${hosts}`, false],
    ['is a function with defaults', `{ role ? "x", ... }: ${hosts}`, false],
    ['is as the outputs of a flake', `{ nixosConfigurations = ${hosts}; floe.shrink.percent = 40; checks.${SYSTEM}.ok = { drvPath = "x"; }; }`, true],
  ])('%s', async (_what, content, hasPolicy) => {
    const url = await commitFlake(dir, { 'nix/hosts.nix': content, role: 'one' });
    expect(await nix.listHosts(url, limits)).toEqual({ hosts: ['ada', 'bob'], invalid: [], clashing: [], hasPolicy });
    expect(await hostOf(url)).toMatchObject({ kind: 'evaluated' });
    if (hasPolicy) expect(await nix.readFleetPolicy(url, limits)).toEqual({ shrink: { percent: 40 } });
    if (hasPolicy)
      expect(await nix.evaluateCheck(url, 'no', limits)).toMatchObject({ kind: 'failed', error: expect.stringContaining('there are ok') as string });
  });

  it.each([
    ['is missing', { other: '1' }, /nix\/hosts\.nix cannot be read/],
    ['is no set', { 'nix/hosts.nix': '"ada"' }, /nix\/hosts\.nix cannot be read/],
    ['is empty', { 'nix/hosts.nix': '{ }' }, /nixosConfigurations of nix\/hosts\.nix is empty/],
    ['is no Nix', { 'nix/hosts.nix': '{ ada = ' }, /nix\/hosts\.nix cannot be read: syntax error/],
  ])('says what is wrong: it %s', async (_what, files, message) => {
    await expect(nix.listHosts(await commitFlake(dir, files), limits)).rejects.toThrow(message);
  });

  it.each([
    ['the search path', 'builtins.readFile <nixpkgs/passwd>'],
    ['a file of the machine', 'builtins.readFile /etc/passwd'],
    ['the system', 'builtins.currentSystem'],
    ['what has no hash', 'builtins.fetchTarball "http://127.0.0.1:1/a.tar.gz"'],
  ])('sees nothing of the server: %s', async (_what, text) => {
    const url = await commitFlake(dir, { 'nix/hosts.nix': `let system = ${SYSTEM_OF}; in { ada = system (${text}); bob = system "b"; }` });
    expect(await hostOf(url)).toMatchObject({ kind: 'failed', isRetryable: false });
    expect(await hostOf(url, 'bob')).toMatchObject({ kind: 'evaluated' });
  });

  it('sees no variables', async () => {
    const content = `{ ada = (${SYSTEM_OF}) (if builtins.getEnv "FLOE_TEST" == "" then "none" else throw "seen"); }`;
    expect(await hostOf(await commitFlake(dir, { 'nix/hosts.nix': content }))).toMatchObject({ kind: 'evaluated' });
  });
});

it('gives the systems that a flake with the same hosts has, whatever they are', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', ' ', '\n', '$', '{', '"', 'ü'), maxLength: 8 });
  const names = fc.constantFrom('ada', 'bob', 'cyd-2', 'With', 'a.b', '-no');
  await fc.assert(
    fc.asyncProperty(fc.dictionary(names, text, { minKeys: 1, maxKeys: 4 }), fc.boolean(), async (roles, isFunction) => {
      const files = Object.fromEntries(Object.entries(roles).map(([name, role]) => [`roles/${name}`, role]));
      const hosts = `let system = ${SYSTEM_OF}; in builtins.mapAttrs (name: _: system (builtins.readFile (../roles + "/\${name}"))) (builtins.readDir ../roles)`;
      const url = await commitFlake(dir, {
        ...files,
        'nix/hosts.nix': isFunction ? `{ }: ${hosts}` : hosts,
        'flake.nix': `{ outputs = { self }: { nixosConfigurations = import ./nix/hosts.nix ${isFunction ? '{ }' : ''}; }; }`,
      });
      const [byFile, byFlake] = await Promise.all([nix.listHosts(url, limits), ofFlakes.listHosts(url, limits)]);
      expect(byFile).toEqual(byFlake);
      const systems = (results: Record<string, HostEvaluation>): Record<string, string> =>
        Object.fromEntries(Object.entries(results).map(([host, result]) => [host, result.kind === 'evaluated' ? result.drvPath : result.kind]));
      if (byFile.hosts.length > 0) expect(systems(await evaluate(nix, url))).toEqual(systems(await evaluate(ofFlakes, url)));
    }),
    { numRuns: 5, seed: 3, endOnFailure: true },
  );
});

describe('pins', () => {
  let server: Server;
  let tarball: Buffer;
  let isAway = false;
  let requests = 0;
  let pins = '';

  beforeAll(async () => {
    const files = join(dir, 'pinned');
    await mkdir(join(files, 'lib'), { recursive: true });
    const made = await execInTest('sh', [
      '-c',
      `echo '"pinned ${Date.now()}"' > "$0/lib/default.nix" && tar -C "$0" -czf "$0.tar.gz" lib && nix-hash --type sha256 --base32 "$0/lib"`,
      files,
    ]);
    expect(made.exitCode, made.stderr).toBe(0);
    tarball = await readFile(`${files}.tar.gz`);
    server = createServer((_req, res) => {
      requests += 1;
      if (isAway) res.writeHead(503).end();
      else res.writeHead(200, { 'content-type': 'application/gzip' }).end(tarball);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    // As niv and npins keep them.
    pins = JSON.stringify({ pins: { lib: { type: 'Git', url: `http://127.0.0.1:${port}/lib.tar.gz`, hash: made.stdout.trim() } } });
  });
  afterAll(async () => {
    await new Promise<unknown>((resolve) => server.close(resolve));
  });

  const SOURCES = `let data = builtins.fromJSON (builtins.readFile ./sources.json); in
    builtins.mapAttrs (name: pin: builtins.fetchTarball { inherit (pin) url; sha256 = pin.hash; }) data.pins`;
  const hosts = `let sources = import ../npins; system = ${SYSTEM_OF}; in { ada = system (import sources.lib); bob = system "b"; }`;

  it('are fetched, waited for while they are away, and fetched once', async () => {
    const url = await commitFlake(dir, { 'nix/hosts.nix': hosts, 'npins/default.nix': SOURCES, 'npins/sources.json': pins });
    isAway = true;
    expect(await hostOf(url)).toMatchObject({ kind: 'failed', isRetryable: true });
    isAway = false;
    expect(await hostOf(url)).toMatchObject({ kind: 'evaluated' });
    const before = requests;
    expect(await hostOf(url)).toMatchObject({ kind: 'evaluated' });
    expect(requests).toBe(before);
  });

  it('are waited for where the list of hosts needs them', async () => {
    const listed = `builtins.seq (import (import ../npins).lib) (${hosts})`;
    const other = pins
      .replace('lib.tar.gz', 'other.tar.gz')
      .replace(/"hash":"./, (found) => `${found.slice(0, -1)}${found.endsWith('0') ? '1' : '0'}`);
    const url = await commitFlake(dir, { 'nix/hosts.nix': listed, 'npins/default.nix': SOURCES, 'npins/sources.json': other });
    isAway = true;
    await expect(nix.listHosts(url, limits)).rejects.toMatchObject({ code: 'INPUT_AWAY', retryable: true });
    isAway = false;
  });
});
