import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Exec } from '@floe/runtime';

const ROOT = join(import.meta.dirname, '../..');
/** What npm reads; packages.nix gives Nix the same. */
const MANIFESTS = ['package.json', 'package-lock.json', '.npmrc', 'apps/*/package.json', 'libs/*/package.json'];
const TIMEOUT_MS = 10 * 60_000;

/** The platforms of flake.nix, as Nix and as npm name them. */
export const NODE_MODULES_SYSTEMS = { 'x86_64-linux': 'x64', 'aarch64-linux': 'arm64' } as const;

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
