import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execInTest } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openSshKey } from '../test/openssh-key.ts';
import { readKeyFile } from './key-file.ts';

let dir: string;
let file: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-key-file-'));
  file = join(dir, 'key');
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

async function make(...args: string[]): Promise<void> {
  await rm(file, { force: true });
  expect((await execInTest('ssh-keygen', ['-q', '-f', file, ...args])).exitCode).toBe(0);
}

test('each new key of ssh-keygen makes another machine, whatever its comment', async () => {
  const seen = new Set<string>();
  for (const comment of ['', 'root@ada', 'a comment of some length']) {
    await make('-t', 'ed25519', '-N', '', '-C', comment);
    const { signer, machineId } = await readKeyFile(file);
    seen.add(signer.publicKey).add(machineId);
  }
  expect(seen.size).toBe(6);
});

test('a key with a passphrase, or of another kind, is refused in words', async () => {
  await make('-t', 'ed25519', '-N', 'secret');
  await expect(readKeyFile(file)).rejects.toThrow('has a passphrase');
  await make('-t', 'ecdsa', '-N', '');
  await expect(readKeyFile(file)).rejects.toThrow('of the kind ecdsa');
});

test('ssh-keygen reads the keys of the other tests', async () => {
  await writeFile(file, openSshKey(Buffer.alloc(32, 7)), { mode: 0o600 });
  expect((await execInTest('ssh-keygen', ['-y', '-f', file])).stdout).toContain('ssh-ed25519 AAAA');
});
