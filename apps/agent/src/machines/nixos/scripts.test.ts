import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { access, chmod, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { StorePath } from '@floe/model';
import { execInTest } from '@floe/runtime';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ActivationPlan } from '../machine.ts';
import { ActivationWatchdog } from './watchdog.ts';
import { SWITCH_LOCK } from './close-lock.ts';
import { guardScript, trialScript, watchdogScript } from './scripts.ts';

let root: string;
let plan: ActivationPlan;
const log = (): string => join(root, 'log');
const folder = (): string => join(root, 'activation');

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'floe-scripts-'));
  await mkdir(folder());
  const path = (name: string): StorePath => join(root, name) as StorePath;
  plan = {
    activation: 1,
    toplevel: path('target'),
    before: path('before'),
    beforeProfile: path('before'),
    isTrial: false,
    switchMs: 1000,
    verdictMs: 1000,
    bootMs: 1000,
  };
  for (const system of ['target', 'before', 'third']) {
    await program(`${system}/bin/switch-to-configuration`, `${system} $1`);
    for (const tool of ['systemd-run', 'systemctl', 'nix-env']) await program(`${system}/sw/bin/${tool}`, `${tool} $*`);
  }
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

/** Writes into the log what it was called with. */
async function program(path: string, line: string, exitCode = 0): Promise<void> {
  await mkdir(join(root, path, '..'), { recursive: true });
  await writeFile(join(root, path), `#!/bin/sh\necho "${line}" >>${log()}\nexit ${exitCode}\n`);
  await chmod(join(root, path), 0o755);
}

/** Runs a script by a real shell on a machine that runs `current`; gives what it called. */
async function play(script: string, current: string): Promise<string[]> {
  await rm(join(root, 'current-system'), { force: true });
  await symlink(join(root, current), join(root, 'current-system'));
  await writeFile(log(), '');
  const own = script.replaceAll('/run/current-system', join(root, 'current-system')).replaceAll(SWITCH_LOCK, join(root, 'lock'));
  await writeFile(join(root, 'script.sh'), own);
  await execInTest('/bin/sh', [join(root, 'script.sh')]);
  return (await readFile(log(), 'utf8')).split('\n').filter((line) => line !== '');
}

const stagedInBoot = async (id: string): Promise<void> => await writeFile(join(folder(), 'boot-id'), id);

test('the guard gives a started system a deadline, and nothing in the start in which it was staged', async () => {
  const watchdog = new ActivationWatchdog({ stateDir: root, env: {}, exec: async () => await execInTest('true', []) });
  await stagedInBoot('an earlier one');
  expect(await play(guardScript(plan, folder()), 'target')).toEqual([expect.stringContaining('systemd-run')]);
  await watchdog.guardBoot(plan, plan.before);
  await stagedInBoot(await readFile(join(root, 'activation/1/boot-id'), 'utf8'));
  expect(await watchdog.boots(1)).toEqual({ isNewBoot: false, fellBack: false });
  expect(await play(guardScript(plan, folder()), 'target')).toEqual([]);
});

test('a system that was started twice in vain is left by a restart, once; then by what a switch can do', async () => {
  await stagedInBoot('an earlier one');
  const script = guardScript(plan, folder());
  for (let start = 1; start <= 2; start += 1) await play(script, 'target');
  expect(await play(script, 'target')).toEqual(expect.arrayContaining(['before boot', 'systemctl --no-block --check-inhibitors=no reboot']));
  // The boot loader starts the new system whatever it is told.
  for (let start = 1; start <= 3; start += 1) {
    const called = await play(script, 'target');
    expect(called).toContain('before test');
    expect(called).not.toContain('systemctl --no-block --check-inhibitors=no reboot');
  }
});

test('a guard that cannot write its folder goes back all the same', async () => {
  await stagedInBoot('an earlier one');
  // For root nothing is forbidden: a folder is no file, for anybody.
  for (const name of ['fell-back', 'undone.tmp', 'verdict.script']) await mkdir(join(folder(), name));
  const script = guardScript(plan, folder()).replace('"${1:-}"', 'undo');
  expect(await play(script, 'target')).toEqual(expect.arrayContaining(['before boot', 'systemctl --no-block --check-inhibitors=no reboot']));
});

test('an early way back that failed is tried again later in the same start', async () => {
  await stagedInBoot('an earlier one');
  await writeFile(join(folder(), 'tries'), '2');
  await writeFile(join(folder(), 'undone'), '1');
  await program('before/bin/switch-to-configuration', 'before $1', 1);
  expect(await play(guardScript(plan, folder()), 'target')).toContainEqual(expect.stringMatching(/^systemd-run .*--on-active=60 /));
});

test('in a rollback it is still known in which start of the machine the activation began', async () => {
  const watchdog = new ActivationWatchdog({ stateDir: root, env: {}, exec: async () => await execInTest('true', []) });
  await watchdog.arm(plan, { isFirst: true, running: plan.before });
  expect((await watchdog.boots(1)).isNewBoot).toBe(false);
  await writeFile(join(root, 'activation/1/boot-id'), 'an earlier one');
  await watchdog.arm(plan, { isFirst: false, running: plan.before });
  expect((await watchdog.boots(1)).isNewBoot).toBe(true);
});

test('the watchdog goes back from the new system, and leaves alone who switched to a third one by hand', async () => {
  expect(await play(watchdogScript(plan, folder()), 'third')).not.toContain('before test');
  expect(await play(watchdogScript(plan, folder()), 'target')).toContain('before test');
});

test('a trial that works is committed by nobody, and left at its end with or without an agent', async () => {
  const trial = { ...plan, isTrial: true };
  const commits = (calls: readonly string[]): readonly string[] => calls.filter((call) => call.startsWith('nix-env') || call.endsWith(' boot'));
  expect(await play(watchdogScript(trial, folder()), 'target')).toContain('before test');
  await writeFile(join(folder(), 'verdict.passed'), 'passed');
  await rm(join(folder(), 'verdict'));
  await symlink(join(folder(), 'verdict.passed'), join(folder(), 'verdict'));
  // The very same verdict commits a system of the fleet.
  expect(commits(await play(watchdogScript(plan, folder()), 'target'))).toContain('target boot');
  expect(await play(watchdogScript(trial, folder()), 'target')).toEqual([]);
  const ended = await play(trialScript(trial, folder()), 'target');
  expect(ended).toEqual(expect.arrayContaining(['before test', 'systemctl --no-block restart floe-agent.service']));
  expect(commits(ended)).toEqual([]);
  for (const other of ['before', 'third']) expect(await play(trialScript(trial, folder()), other)).not.toContain('before test');
});

test('the end of a trial replaces its timer, and goes with everything else of the activation', async () => {
  const calls: string[] = [];
  const watchdog = new ActivationWatchdog({
    stateDir: root,
    env: {},
    exec: async (file, args) => {
      calls.push([file, ...args].join(' '));
      return await Promise.resolve({ end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 0 });
    },
  });
  await watchdog.endTrialIn({ ...plan, isTrial: true }, 90_500);
  expect(calls).toEqual([
    'systemctl stop floe-trial-1.timer',
    expect.stringMatching(/^systemd-run .*--unit=floe-trial-1 --on-active=91 .*trial\.sh$/),
  ]);
  await watchdog.forget();
  expect(calls.at(-1)).toContain('floe-trial-*.timer');
});

test('the rollback leads to the specialisation that ran, if it is still one of the old system', async () => {
  await program('cosy/bin/switch-to-configuration', 'cosy $1');
  await mkdir(join(root, 'before/specialisation'));
  await symlink(join(root, 'cosy'), join(root, 'before/specialisation/cosy'));
  const back = async (ran: string): Promise<string[]> => {
    await rm(join(folder(), 'verdict'), { force: true });
    await writeFile(join(folder(), 'ran-before'), `${ran}\n`);
    return (await play(watchdogScript(plan, folder()), 'target')).filter((call) => call.endsWith(' test'));
  };
  expect(await back(join(root, 'cosy'))).toEqual(['cosy test']);
  expect(await back(plan.before)).toEqual(['before test']);
  expect(await back(join(root, 'third'))).toEqual(['before test']);
  expect(await back('')).toEqual(['before test']);
});

test('the rollback waits for another switch, and ends one that is stuck', async () => {
  await writeFile(join(root, 'lock'), '');
  const stuck = spawn('flock', ['--no-fork', join(root, 'lock'), '/bin/sh', '-c', 'echo held; trap "" TERM; exec sleep 600'], { stdio: 'pipe' });
  const ended = once(stuck, 'exit');
  await once(stuck.stdout, 'data');
  expect(await play(watchdogScript(plan, folder()), 'target')).toContain('before test');
  expect(await ended).toEqual([null, 'SIGKILL']);
});

test.runIf(process.getuid?.() === 0)('users without root, who had the lock open before, hold up no rollback and no commit', async () => {
  const lock = join(root, 'lock');
  await chmod(root, 0o755);
  // As NixOS's own: with the lock, and without waiting for it.
  for (const system of ['target', 'before']) {
    const line = `exec 9>>${lock}; flock --nonblock 9 || exit 1; echo "${system} $1" >>${log()}`;
    await writeFile(join(root, `${system}/bin/switch-to-configuration`), `#!/bin/sh\n${line}\n`);
  }
  const loop = `exec 9<${lock}; echo open; while :; do flock 9; sleep 0.05; flock --unlock 9; done`;
  const asUser = ['--reuid=65534', '--regid=65534', '--clear-groups', '--', '/bin/sh', '-c', loop];
  const meddle = async (): Promise<ChildProcess[]> => {
    await rm(lock, { force: true });
    await writeFile(lock, '');
    await chmod(lock, 0o644);
    const children = Array.from({ length: 3 }, () => spawn('setpriv', asUser, { stdio: ['ignore', 'pipe', 'ignore'] }));
    await Promise.all(children.map(async ({ stdout }) => await once(stdout, 'data')));
    return children;
  };
  const meddlers: ChildProcess[] = [];
  try {
    meddlers.push(...(await meddle()));
    expect(await play(watchdogScript(plan, folder()), 'target')).toContain('before test');
    await rm(join(folder(), 'verdict'));
    await writeFile(join(folder(), 'verdict'), 'passed');
    meddlers.push(...(await meddle()));
    expect(await play(watchdogScript(plan, folder()), 'target')).toContain('target boot');
    expect(meddlers.filter(({ exitCode }) => exitCode !== null)).toEqual([]);
  } finally {
    for (const meddler of meddlers) meddler.kill('SIGKILL');
  }
});

test('a system that is staged once more is guarded at every moment', async () => {
  const unguarded: string[] = [];
  const bootGuard = join(root, 'boot-guard');
  const script = join(root, 'activation/1/guard.sh');
  let isStaged = false;
  const watchdog = new ActivationWatchdog({
    stateDir: root,
    env: {},
    exec: async (file, args) => {
      const isThere = await Promise.all([access(bootGuard), access(script)]).then(
        () => true,
        () => false,
      );
      if (isStaged && !isThere) unguarded.push([file, ...args].join(' '));
      return await execInTest('true', []);
    },
  });
  await watchdog.guardBoot(plan, plan.before);
  isStaged = true;
  for (const counter of ['tries', 'fell-back']) await writeFile(join(root, 'activation/1', counter), '1');
  await watchdog.guardBoot(plan, plan.before);
  expect(unguarded).toEqual([]);
  expect((await readdir(join(root, 'activation/1'))).toSorted()).toEqual(['boot-id', 'guard.sh', 'ran-before']);
  expect(await readFile(bootGuard, 'utf8')).toContain(script);

  // A verdict of a change with the same number is not this one's.
  await watchdog.claim(1, 'passed');
  await watchdog.guardBoot({ ...plan, toplevel: plan.before }, plan.before);
  expect(await watchdog.verdict(1)).toBeUndefined();
});

test('where the rollback fails and there is no agent, the machine is restarted; with one, that tries again', async () => {
  const failing = async (system: string): Promise<void> => {
    await writeFile(join(root, `${system}/bin/switch-to-configuration`), `#!/bin/sh\necho "${system} $1" >>${log()}\nexit 1\n`);
  };
  const agentIs = async (status: number): Promise<void> => {
    const systemctl = `#!/bin/sh\necho "systemctl $*" >>${log()}\ncase "$*" in *is-active*) exit ${status} ;; esac\n`;
    await writeFile(join(root, 'before/sw/bin/systemctl'), systemctl);
    await rm(join(folder(), 'verdict'), { force: true });
  };
  await failing('before');
  await agentIs(3);
  expect(await play(watchdogScript(plan, folder()), 'target')).toContain('systemctl --no-block --check-inhibitors=no reboot');
  await agentIs(0);
  expect(await play(watchdogScript(plan, folder()), 'target')).not.toContain('systemctl --no-block --check-inhibitors=no reboot');
});

test('arming stops the timers of every other activation: one that is over is not undone in the middle of the next', async () => {
  const calls: string[] = [];
  const watchdog = new ActivationWatchdog({
    stateDir: root,
    env: {},
    exec: async (file, args) => {
      calls.push([file, ...args].join(' '));
      return await Promise.resolve({ end: 'exited', exitCode: 0, signal: null, stdout: '', stderr: '', durationMs: 0 });
    },
  });
  await watchdog.arm(plan, { isFirst: true, running: plan.before });
  expect(calls.find((call) => call.startsWith('systemctl stop'))).toContain('floe-watchdog-*.timer');
  // What waits for the end of a way back must not wait forever.
  expect(calls.find((call) => call.startsWith('systemd-run'))).toMatch(/--property=TimeoutStartSec=\d+/);
});
