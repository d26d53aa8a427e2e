import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorePath } from '@floe/model';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createNix, type Nix } from './index.ts';

let dir = '';
let env: Record<string, string | undefined>;
let nix: Nix;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-closure-'));
  env = { ...process.env, HOME: dir };
  nix = createNix({ exec, logger: silentLogger, env });
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

/** Builds a system from packages: `[name, size in bytes]`. All store paths are unique to this run. */
async function build(label: string, packages: readonly (readonly [string, number])[]): Promise<StorePath> {
  const system = process.arch === 'arm64' ? 'aarch64-linux' : 'x86_64-linux';
  const derivation = (name: string, script: string): string =>
    `derivation { name = "${name}"; system = "${system}"; builder = "/bin/sh"; PATH = "/usr/bin:/bin:/run/current-system/sw/bin"; unique = "${dir}"; args = [ "-c" ''${script}'' ]; }`;
  const parts = packages.map(([name, size]) => `(${derivation(name, `head -c ${size} /dev/zero > $out`)})`);
  const expression = derivation('nixos-system-ada-26.05', `mkdir $out; echo ${parts.map((part) => `\${${part}}`).join(' ')} > $out/parts`);
  const file = join(dir, `${label}.nix`);
  await writeFile(file, expression);
  await mkdir(join(dir, 'roots'), { recursive: true });
  const result = await execInTest('nix-build', [file, '--out-link', join(dir, 'roots', label)], { env });
  expect(result.exitCode, result.stderr).toBe(0);
  return result.stdout.trim() as StorePath;
}

it('compares two real closures', async () => {
  const before = await build('before', [
    ['firefox-130.0', 1_000_000],
    ['nano-8.0', 1_000],
    ['openssl-3.0.9-bin', 10],
    ['same-1.0', 77],
  ]);
  const after = await build('after', [
    ['firefox-131.0', 1_500_000],
    ['htop-3.3.0', 2_000],
    ['openssl-3.0.9-bin', 10],
    ['same-1.0', 77],
  ]);
  const changes = await nix.closureChanges(before, after);
  expect(changes).toMatchObject({ addedCount: 1, removedCount: 1, rebuiltCount: 1 });
  expect(changes.packages).toMatchObject([
    { name: 'firefox', before: ['130.0'], after: ['131.0'], sizeDeltaBytes: 500_000 },
    { name: 'htop', before: [], after: ['3.3.0'] },
    { name: 'nano', before: ['8.0'], after: [] },
  ]);
  const files = await execInTest(
    'nix-store',
    ['--query', '--size', ...(await execInTest('nix-store', ['--query', '--requisites', after], { env })).stdout.split(/\s+/).filter(Boolean)],
    { env },
  );
  const expected = files.stdout
    .trim()
    .split('\n')
    .reduce((sum, line) => sum + Number(line), 0);
  expect(changes.sizeAfterBytes).toBe(expected);
  expect(changes.sizeAfterBytes).toBeGreaterThan(1_502_000);
  expect(await nix.closureChanges(after, after)).toMatchObject({ packages: [], rebuiltCount: 0 });
});

it('says which path the store lacks', async () => {
  const here = await build('here', [['htop-3.3.0', 10]]);
  const missing = '/nix/store/00000000000000000000000000000000-nixos-system-ada-26.05' as StorePath;
  await expect(nix.closureChanges(here, missing)).rejects.toMatchObject({
    code: 'CLOSURE_NOT_HERE',
    message: expect.stringContaining(missing) as string,
  });
});

it('ends when its signal aborts', async () => {
  const here = await build('here', [['htop-3.3.0', 10]]);
  await expect(nix.closureChanges(here, here, AbortSignal.abort())).rejects.toMatchObject({ code: 'NIX_STOPPED' });
});
