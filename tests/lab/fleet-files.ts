import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { programFile } from '@floe/testkit';
import type { LabHost } from './hosts.ts';

const FLEET = join(import.meta.dirname, 'fleet');
const PROJECT = join(import.meta.dirname, '../..');

/** Limits that suit machines which switch in a third of a second. */
const QUICK = {
  FLOE_LOG_LEVEL: 'debug',
  FLOE_HEALTH_GRACE_SECONDS: '0',
  FLOE_SETTLE_SECONDS: '0',
  FLOE_CONTACT_TIMEOUT_SECONDS: '5',
  FLOE_SWITCH_TIMEOUT_SECONDS: '15',
  FLOE_SLOW_RETRY_SECONDS: '1',
  FLOE_BOOT_TIMEOUT_SECONDS: '5',
  FLOE_MIN_FREE_MB: '1',
};

/** The fleet's repository, without its hosts. */
export async function fleetFiles(): Promise<Record<string, string>> {
  const files = await readTree(FLEET);
  // The agent's own module makes the units.
  for (const folder of ['modules', 'testing']) {
    for (const [path, text] of Object.entries(await readTree(join(PROJECT, 'nix', folder)))) files[`nix/${folder}/${path}`] = text;
  }
  // As it is shipped, in one file: the tests' set-up has made that (tests/programs.ts).
  files['agent/floe-agent.mjs'] = await readFile(programFile('agent'), 'utf8');
  return files;
}

/** What a push sets of a host. */
export function hostFiles(name: string, host: LabHost, trust: Readonly<Record<string, string>>): Record<string, string> {
  const { settings, ...rest } = host;
  for (const ofMachine of ['suite', 'storeMegabytes', 'files']) Reflect.deleteProperty(rest, ofMachine);
  const all = { ...rest, env: { ...QUICK, ...trust, FLOE_HOST: name, ...settings } };
  return { [`hosts/${name}.nix`]: `builtins.fromJSON (builtins.readFile ../${name}.json)\n`, [`${name}.json`]: JSON.stringify(all, null, 1) };
}

async function readTree(folder: string): Promise<Record<string, string>> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((each) => each.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return Object.fromEntries(await Promise.all(files.map(async (file) => [file.slice(folder.length + 1), await readFile(file, 'utf8')] as const)));
}
