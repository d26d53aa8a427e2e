import { silentLogger as logger, type Exec, type ExecResult } from '@floe/runtime';
import { expect, test } from 'vitest';
import { storePath } from '../../test/fixtures.ts';
import { bootEntryOf, clearOneShot, setOneShot } from './one-shot.ts';

const NEW = storePath('new');
const result: ExecResult = { end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 1 };

function bootctl(answer: Partial<ExecResult>): { exec: Exec; calls: string[] } {
  const calls: string[] = [];
  const exec: Exec = async (file, args) => {
    expect(file).toBe('systemd-run');
    calls.push(args.slice(args.indexOf('--') + 1).join(' '));
    return await Promise.resolve({ ...result, ...answer });
  };
  return { exec, calls };
}

test('an entry is found by the system that it starts, whatever it is called', async () => {
  const entries = [
    { id: 'auto-windows', type: 'auto', title: 'Windows' },
    { id: 'nixos-generation-7.conf', options: `init=${NEW}-other/init loglevel=4` },
    { id: 'weird name.conf', options: `quiet init=${NEW}/init loglevel=4` },
  ];
  const { exec } = bootctl({ stdout: JSON.stringify(entries) });
  expect(await bootEntryOf({ exec, env: {}, logger }, NEW)).toBe('weird name.conf');
  expect(await bootEntryOf({ exec, env: {}, logger }, storePath('none'))).toBeUndefined();
});

test('without systemd-boot there is none', async () => {
  expect(await bootEntryOf({ exec: bootctl({ exitCode: 1, stderr: 'Not booted with EFI' }).exec, env: {}, logger }, NEW)).toBeUndefined();
  expect(await bootEntryOf({ exec: bootctl({ stdout: 'no JSON' }).exec, env: {}, logger }, NEW)).toBeUndefined();
  const missing: Exec = async () => await Promise.reject(new Error('there is no bootctl'));
  expect(await bootEntryOf({ exec: missing, env: {}, logger }, NEW)).toBeUndefined();
  expect(await setOneShot({ exec: missing, env: {}, logger }, 'a.conf')).toBe(false);
});

test('an entry is made the one of the next start, and that is taken back', async () => {
  const { exec, calls } = bootctl({});
  expect(await setOneShot({ exec, env: {}, logger }, 'a.conf')).toBe(true);
  await clearOneShot({ exec, env: {}, logger }, true);
  expect(calls).toEqual(['bootctl set-oneshot a.conf', 'bootctl set-oneshot ']);
});

test('what cannot be taken back is said, but for where there is nothing to take back', async () => {
  const failing =
    (list: Partial<ExecResult>): Exec =>
    async (_file, args) =>
      await Promise.resolve({ ...result, ...(args.includes('list') ? list : { exitCode: 1 }) });
  await expect(clearOneShot({ exec: failing({ stdout: '[]' }), env: {}, logger }, true)).rejects.toMatchObject({ code: 'BOOT_NOT_SET' });
  await clearOneShot({ exec: failing({ exitCode: 1 }), env: {}, logger }, true);
  // GRUB on a machine with EFI: its entries are listed, there are none, and none can be set.
  await clearOneShot({ exec: failing({ stdout: '[]' }), env: {}, logger }, false);
});
