import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorePath } from '@floe/model';
import { createNix } from '@floe/nix';
import { exec, execInTest, silentLogger } from '@floe/runtime';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { compareGenerations } from './generations.ts';
import { ENGLISH } from '../text/words/languages.ts';
import { changesText } from './changes-text.ts';

const signal = new AbortController().signal;
let root = '';
let env: Record<string, string | undefined>;

/** A system in the folder's own store: one file that names its packages, which are files too. */
async function add(dir: string, name: string, references: readonly string[] = []): Promise<StorePath> {
  const system = process.arch === 'arm64' ? 'aarch64-linux' : 'x86_64-linux';
  const expression = `derivation { name = "${name}"; system = "${system}"; builder = "/bin/sh"; args = [ "-c" "echo $parts > $out" ]; parts = "${references.map((path) => `\${builtins.storePath ${path}}`).join(' ')}"; unique = "${dir}"; }`;
  const built = await execInTest('nix-build', ['--expr', expression, '--no-out-link'], { env });
  expect(built.exitCode, built.stderr).toBe(0);
  return built.stdout.trim() as StorePath;
}

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'floe-generations-'));
  env = { ...process.env, HOME: root };
  const nix = createNix({ exec, logger: silentLogger, env, store: { kind: 'root', dir: root } });
  const systems = [
    await add(root, 'nixos-system-ada-1', [await add(root, 'firefox-130.0')]),
    await add(root, 'nixos-system-ada-2', [await add(root, 'firefox-131.0'), await add(root, 'htop-3.3.0')]),
  ];
  for (const system of systems) {
    const copied = await execInTest('nix', ['copy', '--no-check-sigs', '--to', `local?root=${root}`, system], { env });
    expect(copied.exitCode, copied.stderr).toBe(0);
    await nix.setProfile(join(root, 'nix/var/nix/profiles/system'), system);
  }
});
afterAll(async () => {
  await execInTest('chmod', ['-R', 'u+w', root]);
  await rm(root, { recursive: true, force: true });
});

it('compares two generations of a machine, and one with the newest', async () => {
  const changes = await compareGenerations({ root, env, before: 1, after: 2, signal });
  expect(changes).toMatchObject({
    subject: 'between',
    packages: [
      { name: 'firefox', before: ['130.0'], after: ['131.0'] },
      { name: 'htop', before: [], after: ['3.3.0'] },
      { name: 'nixos-system-ada', before: ['1'], after: ['2'] },
    ],
  });
  expect(await compareGenerations({ root, env, before: 1, after: undefined, signal })).toEqual(changes);
  expect(changesText(changes, { ...ENGLISH, isVerbose: false })).toContain('firefox           130.0 → 131.0');
});

it('says which one is not there', async () => {
  await expect(compareGenerations({ root, env, before: 1, after: 9, signal })).rejects.toMatchObject({
    code: 'NO_SUCH_GENERATION',
    message: expect.stringContaining('system-9-link') as string,
  });
});
