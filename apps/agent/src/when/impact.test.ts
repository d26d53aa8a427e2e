import type { StorePath } from '@floe/model';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { storePath } from '../test/fixtures.ts';
import { parseDryActivate } from './dry-activate.ts';
import { readImpact, toplevelFiles, type ImpactReport } from './impact.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'floe-impact-'));
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

interface Parts {
  readonly kernel?: string;
  readonly initrd?: string;
  readonly modules?: string;
  readonly params?: string;
  readonly inhibitors?: object | string;
}

/** A toplevel as NixOS builds it: links to the kernel and the like, texts for the rest. */
async function toplevel(name: string, parts: Parts = {}): Promise<StorePath> {
  const { kernel = 'linux-6.12.1', initrd = 'initrd-1', modules = 'modules-1', params = 'loglevel=4 quiet' } = parts;
  const path = storePath(name);
  const dir = `${root}${path}`;
  await mkdir(dir, { recursive: true });
  await symlink(`${storePath(kernel)}/bzImage`, `${dir}/kernel`);
  await symlink(`${storePath(initrd)}/initrd`, `${dir}/initrd`);
  await symlink(storePath(modules), `${dir}/kernel-modules`);
  await writeFile(`${dir}/kernel-params`, params);
  if (parts.inhibitors !== undefined) {
    const json = storePath(`inhibitors-of-${name}`);
    await writeFile(`${root}${json}`, typeof parts.inhibitors === 'string' ? parts.inhibitors : JSON.stringify(parts.inhibitors));
    await symlink(json, `${dir}/switch-inhibitors`);
  }
  return path;
}

const QUIET = 'would activate the configuration...\n';

async function impactOf(more: { booted?: Parts | null; current?: Parts; next?: Parts; dry?: string | null }): Promise<ImpactReport> {
  return await readImpact(toplevelFiles(root), {
    booted: more.booted === null ? null : await toplevel('booted', more.booted ?? {}),
    current: await toplevel('current', more.current ?? {}),
    next: await toplevel('next', more.next ?? {}),
    dryActivate: more.dry === undefined ? QUIET : more.dry,
  });
}

test('a switch that touches no unit has no impact', async () => {
  expect(await impactOf({})).toEqual({ impact: 'none', units: [], reason: null });
});

test.each([
  [{ kernel: 'linux-6.12.2' }, 'the kernel'],
  [{ initrd: 'initrd-2' }, 'the initrd'],
  [{ modules: 'modules-2' }, 'the kernel modules'],
  [{ params: 'loglevel=7' }, 'the kernel parameters'],
  [{ kernel: 'linux-6.12.2', initrd: 'initrd-2', modules: 'modules-2', params: '' }, 'the kernel, the initrd, the kernel modules and 1 more'],
])('only a reboot puts %j in place', async (next, words) => {
  expect(await impactOf({ next })).toMatchObject({ impact: 'reboot', reason: `only a reboot changes ${words}` });
});

test('what was booted counts, not what was switched to since', async () => {
  // The new kernel came with an earlier switch: the machine runs the old one still.
  const newer = { kernel: 'linux-6.12.2' };
  expect((await impactOf({ current: newer, next: newer })).impact).toBe('reboot');
});

test('back to the kernel that runs needs no reboot', async () => {
  expect((await impactOf({ current: { kernel: 'linux-6.12.2' } })).impact).toBe('none');
});

test('where nobody knows what was booted, the current system stands for it', async () => {
  expect((await impactOf({ booted: null, next: { kernel: 'linux-6.12.2' } })).impact).toBe('reboot');
});

test('a machine without kernels, such as a container, needs no reboot', async () => {
  const bare = async (name: string): Promise<StorePath> => {
    await mkdir(`${root}${storePath(name)}`, { recursive: true });
    return storePath(name);
  };
  const input = { booted: await bare('a'), current: await bare('b'), next: await bare('c'), dryActivate: QUIET };
  expect((await readImpact(toplevelFiles(root), input)).impact).toBe('none');
});

test('a switch inhibitor that changes needs a reboot, and is named', async () => {
  const report = await impactOf({
    current: { inhibitors: { 'dbus-implementation': 'dbus', systemd: '257' } },
    next: { inhibitors: { 'dbus-implementation': 'broker', systemd: '257' } },
    dry: 'Checking switch inhibitors...\nThere are changes to critical components of the system:\n\nPre-switch checks failed\n',
  });
  expect(report).toMatchObject({ impact: 'reboot', reason: 'only a reboot changes dbus-implementation (dbus → broker)' });
});

test.each([
  ['comes', undefined, { a: '1' }],
  ['goes', { a: '1' }, undefined],
  ['is new beside others', { a: '1' }, { a: '1', b: '2' }],
  ['cannot be read', { a: '1' }, '/nix/store/x\n/nix/store/y'],
  ['has a strange name', { toString: '1' }, { a: '1' }],
])('a switch inhibitor that %s holds nothing up, as in NixOS', async (_what, before, after) => {
  const current = before === undefined ? {} : { inhibitors: before };
  const next = after === undefined ? {} : { inhibitors: after };
  expect((await impactOf({ current, next })).impact).toBe('none');
});

test.each([
  ...['display-manager', 'gdm', 'sddm', 'lightdm', 'greetd', 'dbus', 'dbus-broker', 'systemd-logind', 'user@1000', 'getty@tty1'].map(
    (name) => `${name}.service`,
  ),
  'dbus.socket',
  'user-1000.slice',
  'session-2.scope',
  'graphical.target',
  'home.mount',
  'home-ada.mount',
  'gnome-shell@wayland.service',
])('stopping or restarting %s takes the session', async (unit) => {
  for (const verb of ['stop', 'restart']) {
    const report = await impactOf({ dry: `would ${verb} the following units: nginx.service, ${unit}\n${QUIET}` });
    expect(report).toMatchObject({ impact: 'session', reason: `it would stop or restart ${unit}` });
    expect(report.units).toContain('nginx.service');
    await rm(`${root}/nix`, { recursive: true });
  }
});

test.each([
  `${QUIET}would reload the following units: dbus.service\n`,
  `${QUIET}would start the following units: display-manager.service\n`,
  `${QUIET}would restart the following units: gdm-like.service, my-dbus.service, home-manager-ada.service, home.service\n`,
])('but this does not: %s', async (dry) => {
  expect((await impactOf({ dry })).impact).toBe('units');
});

test('a unit that is left alone is not touched', async () => {
  const dry = `would NOT stop the following changed units: display-manager.service\n${QUIET}would NOT restart the following changed units as well: b.service\n`;
  expect(await impactOf({ dry })).toEqual({ impact: 'none', units: [], reason: null });
});

test.each([
  ['the new system could not be asked', null, 'units'],
  ['nobody understands what it says', 'Dies hier würde geschehen: alles\n', 'units'],
  ['systemd itself is restarted', `${QUIET}would restart systemd\n`, 'units'],
  ['a swap device is turned off', `would stop swap device: /dev/sda2\n${QUIET}`, 'units'],
  ['a verb is new', `${QUIET}would freeze the following units: a.service\n`, 'units'],
  ['the names are missing', `${QUIET}would restart the following units:\n`, 'units'],
  ['the activation script has words of its own', `${QUIET}would update group ‘wheel’\n`, 'none'],
  ['it says nothing', ' \n', 'none'],
])('when %s', async (_what, dry, impact) => {
  const report = await impactOf({ dry });
  expect(report.impact).toBe(impact);
  expect(report.reason === null).toBe(impact === 'none');
});

test('the words of both implementations of the switch are read', () => {
  const perl = [
    'would stop the following units: b.service',
    'would NOT stop the following changed units: left.service',
    'would activate the configuration...',
    'would stop the following units as well: a.service',
    'would restart systemd',
    'would reload the following units: dbus.service c.service',
    'would start the following units: d.mount',
    'would restart the following user units: pipewire.service',
  ].join('\n');
  expect(parseDryActivate(perl)).toEqual({
    ended: ['a.service', 'b.service', 'pipewire.service'],
    touched: ['a.service', 'b.service', 'c.service', 'd.mount', 'dbus.service', 'pipewire.service'],
    touchesMore: true,
    isUnderstood: true,
  });
});
