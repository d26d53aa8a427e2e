import type { Exec, ExecResult } from '@floe/runtime';
import { expect, test } from 'vitest';
import { storePath } from '../../test/fixtures.ts';
import { bootEntryOf, setOneShot } from './one-shot.ts';

const NEW = storePath('new');
const result: ExecResult = { end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 1 };

function bootctl(answer: Partial<ExecResult>): { exec: Exec; calls: string[] } {
  const calls: string[] = [];
  const exec: Exec = async (file, args) => {
    calls.push([file, ...args].join(' '));
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
  expect(await bootEntryOf({ exec, env: {} }, NEW)).toBe('weird name.conf');
  expect(await bootEntryOf({ exec, env: {} }, storePath('none'))).toBeUndefined();
});

test('without systemd-boot there is none', async () => {
  expect(await bootEntryOf({ exec: bootctl({ exitCode: 1, stderr: 'Not booted with EFI' }).exec, env: {} }, NEW)).toBeUndefined();
  expect(await bootEntryOf({ exec: bootctl({ stdout: 'no JSON' }).exec, env: {} }, NEW)).toBeUndefined();
  const missing: Exec = async () => await Promise.reject(new Error('there is no bootctl'));
  expect(await bootEntryOf({ exec: missing, env: {} }, NEW)).toBeUndefined();
  expect(await setOneShot({ exec: missing, env: {} }, 'a.conf')).toBe(false);
});

test('an entry is made the one of the next start, and that is taken back', async () => {
  const { exec, calls } = bootctl({});
  expect(await setOneShot({ exec, env: {} }, 'a.conf')).toBe(true);
  await setOneShot({ exec, env: {} }, '');
  expect(calls).toEqual(['bootctl set-oneshot a.conf', 'bootctl set-oneshot ']);
});
