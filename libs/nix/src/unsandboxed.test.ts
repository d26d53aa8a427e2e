import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { silentLogger, type Exec } from '@floe/runtime';
import { describe, expect, it } from 'vitest';
import { NixCommand } from './command.ts';

const PROJECT = join(import.meta.dirname, '../../..');

describe('Nix outside of the sandbox', () => {
  const started: string[] = [];
  const exec: Exec = async (file, args) => {
    started.push([file, ...args].join(' '));
    return await Promise.resolve({ end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 0 });
  };
  const command = new NixCommand({ exec, logger: silentLogger, env: {} });
  const path = '/nix/store/00000000000000000000000000000000-a';

  it.each([
    ['nix', ['eval', '--json', '--expr', '1']],
    ['nix', ['build', path]],
    ['nix', ['flake', 'show', '/x']],
    ['nix', ['run', path]],
    ['nix', ['shell', path]],
    ['nix', ['develop', path]],
    ['nix', ['copy', '--to', 'file:///c', '--expr', 'import ./x']],
    ['nix', ['copy', '--to', 'file:///c', '-f', './x.nix']],
    ['nix', ['copy', '--to', 'file:///c', '--file', './x.nix']],
    ['nix', ['copy', '--to', 'file:///c', 'git+file:///mirror#x']],
    ['nix', ['copy', '--to', 'file:///c', 'github:some/flake']],
    ['nix', ['copy', '--to', 'file:///c', '.']],
    ['nix', ['copy', '--to', 'file:///c', `${path}.drv^out`]],
    ['nix', ['path-info', '--derivation', '/mirror']],
    ['nix', ['store', 'verify', 'nixpkgs#hello']],
    ['nix', ['store', 'verify', `${path}/system`]],
    ['nix', ['store', 'cat', '/etc/passwd']],
    ['nix', ['store', 'cat', `${path}/../../etc/passwd`]],
    ['nix', ['store', 'ls', `${path}.drv/system`]],
    ['nix', ['store', 'ls', 'nixpkgs#hello']],
    ['nix-store', ['--realise', `${path}.drv`]],
    ['nix-store', ['--realise', `${path}.drv!out`]],
    ['nix-store', ['--load-db']],
    ['nix-store', ['--import']],
    ['nix-env', ['--install', 'x']],
    ['nix-env', ['--profile', '/p', '--set', `${path}.drv`]],
    ['nix-env', ['--profile', '/p', '--install', '-f', './x.nix']],
  ] as const)('refuses commands that may run untrusted code: %s %j', async (program, args) => {
    await expect(command.run(program, args)).rejects.toThrow('run it in the sandbox');
    expect(started).toEqual([]);
  });
});

// Whatever starts a program decides what that program can see, so these places are few and listed.
it('starts programs in few places only', async () => {
  const starters: string[] = [];
  for await (const file of glob('{libs/{git,nix,pipeline,store,forge}/src,apps/{builder,server}/src}/**/*.ts', { cwd: PROJECT })) {
    if (file.includes('.test.') || file.includes('/test/')) continue;
    const text = await readFile(join(PROJECT, file), 'utf8');
    if (/from 'node:child_process'|\b(?:exec|Spawner)\b[^']*from '@floe\/runtime'|\bexec\(/.test(text.replaceAll(/\.exec\(/g, '')))
      starters.push(file);
  }
  expect(starters.toSorted()).toEqual([
    // What starts all others' programs is given by these two.
    'apps/builder/src/main.ts',
    'apps/server/src/main.ts',
    // ssh, to the repository's server, which gets one command to run there.
    'libs/git/src/git-ssh.ts',
    'libs/git/src/mirror-worker.ts',
    'libs/nix/src/command.ts',
    // The command that pushes to a cache is the administrator's own.
    'libs/nix/src/publishers/command-publisher.ts',
    'libs/nix/src/sandbox-folders.ts',
    'libs/nix/src/sandbox-probe.ts',
    'libs/pipeline/src/commit-signers/program.ts',
  ]);
});
