import { createHash } from 'node:crypto';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Exec } from '@floe/runtime';

const ROOT = join(import.meta.dirname, '../..');
/** What npm reads; packages.nix gives Nix the same. */
const MANIFESTS = ['package.json', 'package-lock.json', '.npmrc', 'apps/*/package.json', 'libs/*/package.json'];
const TIMEOUT_MS = 10 * 60_000;

/** The platforms of flake.nix, as Nix and as npm name them. */
export const NODE_MODULES_SYSTEMS = { 'x86_64-linux': 'x64', 'aarch64-linux': 'arm64' } as const;

/**
 * What the hashes of node-modules.json were made from, and they themselves: npm takes half a minute to make them, so that the
 * tests usually look whether this is as it was.
 */
export async function nodeModulesSeal(hashes: Readonly<Record<string, string>>): Promise<string> {
  const seal = createHash('sha256');
  // The manifests need not be here: npm refuses to install when they do not fit the lock file.
  for (const file of ['package-lock.json', '.npmrc', 'nix/node-modules.sh']) seal.update(await readFile(join(ROOT, file)));
  for (const system of Object.keys(NODE_MODULES_SYSTEMS)) seal.update(`${system} ${hashes[system]}\0`);
  return seal.digest('base64');
}

/** The hash by which Nix knows node_modules on `system`: installs them, as node-modules.nix does, into a folder that is removed. */
export async function nodeModulesHash(exec: Exec, env: NodeJS.ProcessEnv, system: keyof typeof NODE_MODULES_SYSTEMS): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'floe-node-modules-'));
  async function run(program: string, args: readonly string[], cwd: string): Promise<string> {
    const { exitCode, stdout, stderr } = await exec(program, args, { cwd, env: { ...env, HOME: dir }, timeoutMs: TIMEOUT_MS });
    if (exitCode !== 0) throw new Error(`${program} ${args.join(' ')}: ${stderr}`);
    return stdout;
  }
  try {
    for (const file of (await run('git', ['ls-files', ...MANIFESTS], ROOT)).trim().split('\n')) await cp(join(ROOT, file), join(dir, 'src', file));
    const out = join(dir, 'out');
    await run('sh', [join(ROOT, 'nix/node-modules.sh'), out, NODE_MODULES_SYSTEMS[system]], join(dir, 'src'));
    return (await run('nix', ['--extra-experimental-features', 'nix-command', 'hash', 'path', out], dir)).trim();
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
