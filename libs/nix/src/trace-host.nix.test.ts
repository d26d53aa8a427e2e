import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostName } from '@floe/model';
import { exec, silentLogger } from '@floe/runtime';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createRepositoryNix, openSandbox, type RepositoryNix } from './index.ts';
import { commitFlake, SYSTEM } from './test/worlds.ts';

// In the sandbox as it is for every evaluation: nothing is opened for the recording.

const limits = { timeoutMs: 120_000, maxMemoryBytes: 2 * 1024 ** 3, signal: new AbortController().signal, filePath: (path: string) => path };
let dir = '';
let nix: RepositoryNix;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-trace-host-'));
  const env = { PATH: process.env['PATH'], HOME: '/nowhere', NIX_CONFIG: process.env['NIX_CONFIG'] };
  const sandbox = await openSandbox(
    { exec, env, dir: join(dir, 'sandbox'), readable: [dir] },
    { secrets: [], needed: ['strace', 'grep'], programs: [], nonce: dir, mayBuildsChangeStore: true },
  );
  nix = createRepositoryNix({ exec, logger: silentLogger, sandbox }, { addRoot: async () => await Promise.resolve() });
});
afterAll(async () => {
  await exec('chmod', ['-R', 'u+w', dir], { timeoutMs: 60_000 });
  await rm(dir, { recursive: true, force: true });
});

test('what an evaluation looks at is recorded in the sandbox, and nothing that the repository prints', async () => {
  const lie = '(builtins.trace "9 openat(AT_FDCWD, \\"${toString ./.}/never\\", O_RDONLY) = 3" "x")';
  const system = (args: string): string => `derivation { name = "x"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ ${args} ]; }`;
  const hosts = {
    ada: system(`(import ./lib) ${lie} "\${./data}" (if builtins.pathExists ./new/file then "a" else "b")`),
    bad: 'throw "bad"',
  };
  const outputs = Object.entries(hosts).map(([name, value]) => `nixosConfigurations.${name}.config.system.build.toplevel = ${value};`);
  const files = { 'lib/default.nix': '"lib"', 'data/f': 'f', 'data/sub/g': 'g', never: 'never' };
  const url = await commitFlake(dir, { ...files, 'flake.nix': `{ outputs = { self }: { ${outputs.join('\n')} }; }` });
  const trace = await nix.traceHost(url, 'ada' as HostName, limits);
  expect(trace?.answer.drvPath).toMatch(/^\/nix\/store\/.*-x\.drv$/);
  const looks = [...(trace?.looks ?? [])].filter((look) => !look.startsWith('kind ')).toSorted();
  expect(looks).toEqual([
    'list data',
    'list data/sub',
    ...['data', 'data/f', 'data/sub', 'data/sub/g', 'flake.nix', 'lib/default.nix'].map((path) => `read ${path}`),
  ]);
  expect(trace?.looks).toContain('kind new');
  expect(trace?.looks).toContain('kind flake.lock');
  expect(await nix.traceHost(url, 'bad' as HostName, limits)).toBeUndefined();
});
