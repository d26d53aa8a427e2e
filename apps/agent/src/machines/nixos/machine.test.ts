import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorePath } from '@floe/model';
import type { Nix } from '@floe/nix';
import { silentLogger, systemClock, type Exec, type ExecResult } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { storePath } from '../../test/fixtures.ts';
import { isInMemory } from '../in-memory.ts';
import { NixosMachine } from './machine.ts';

const OLD = storePath('old');
const NEW = storePath('new');
const signal = new AbortController().signal;
const result: ExecResult = { end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 1 };

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-nixos-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

/** A machine with systemd-boot, which keeps the entries of the newest `limit` generations; what is told to it is noted. */
function systemdBoot(limit: number, forgets = false): { machine: NixosMachine; calls: string[]; entries: () => readonly StorePath[] } {
  const generations: StorePath[] = [OLD];
  let entries: StorePath[] = [OLD];
  const calls: string[] = [];
  const exec: Exec = async (file, args) => {
    const at = args.findIndex((each) => each.endsWith('/bin/switch-to-configuration'));
    if (file === 'systemd-run' && at >= 0) {
      calls.push(`${args[at + 1]} ${args[at]?.split('/bin/')[0]}`);
      entries = generations.slice(-limit);
      const resultFile =
        args
          .findLast((each) => each.includes('ExecStopPost='))
          ?.split(' ')
          .at(-1) ?? '';
      await writeFile(resultFile, 'success exited 0\n');
    } else if (file === 'systemd-run' && args.includes('bootctl')) {
      if (args.includes('set-oneshot')) calls.push(args.slice(-2).join(' '));
      const listed = entries.map((path) => ({ id: `${path.slice(-3)}.conf`, options: `init=${path}/init` }));
      return { ...result, stdout: JSON.stringify(listed) };
    }
    return { ...result, stdout: file === 'systemctl' ? 'inactive\n' : '' };
  };
  const nix = { setProfile: async (_profile: string, path: StorePath) => void (await Promise.resolve(generations.push(path))) };
  const machine = new NixosMachine({
    stateDir: dir,
    roots: join(dir, 'roots'),
    exec,
    nix: async () => await Promise.resolve(nix as unknown as Nix),
    env: {},
    clock: systemClock,
    logger: silentLogger,
    switchLimitMs: 1_000,
    bootMountPoint: '/boot',
    isInMemory: async () => await Promise.resolve(forgets),
  });
  return { machine, calls, entries: () => entries };
}

const plan = { activation: 1, toplevel: NEW, before: OLD, beforeProfile: OLD, isTrial: false, switchMs: 1, verdictMs: 1, bootMs: 1 };

test('a system is started once by its own entry, the one before stays the default', async () => {
  const { machine, calls } = systemdBoot(5);
  expect(await machine.boot.stage(plan, signal)).toMatchObject({ kind: 'switched', how: 'one-shot' });
  // At no moment is the new one the default.
  expect(calls).toEqual([`boot ${OLD}`, 'set-oneshot new.conf']);
});

test('a machine that forgets is never left with a system as its default that nothing would roll back', async () => {
  const { machine, calls, entries } = systemdBoot(1, true);
  expect(await machine.boot.stage(plan, signal)).toMatchObject({ kind: 'failed', detail: { code: 'STATE_FORGETS' } });
  expect([calls, entries()]).toEqual([[`boot ${OLD}`], [OLD]]);
  // Its own entry is gone after one start, guard or not.
  expect(await systemdBoot(5, true).machine.boot.stage(plan, signal)).toMatchObject({ kind: 'switched', how: 'one-shot' });
});

test('what lies in memory is told from what lies on a disk', async () => {
  expect([await isInMemory('/dev/shm'), await isInMemory('/proc')]).toEqual([true, false]);
});

test('where the boot loader keeps one entry only, a system is staged as the default, under guard', async () => {
  const { machine, calls, entries } = systemdBoot(1);
  expect(await machine.boot.stage(plan, signal)).toMatchObject({ kind: 'switched', how: 'guarded' });
  expect(calls).toEqual([`boot ${OLD}`, `boot ${NEW}`]);
  expect(entries()).toEqual([NEW]);
});
