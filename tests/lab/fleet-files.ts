import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from '@floe/runtime';
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

/** The fleet's repository, without its hosts; `dir` is for what is made on the way. */
export async function fleetFiles(dir: string): Promise<Record<string, string>> {
  const files = await readTree(FLEET);
  // The agent's own module makes the units.
  for (const folder of ['modules', 'testing']) {
    for (const [path, text] of Object.entries(await readTree(join(PROJECT, 'nix', folder)))) files[`nix/${folder}/${path}`] = text;
  }
  files['agent/floe-agent.mjs'] = await readFile(await bundledAgent(dir), 'utf8');
  return files;
}

/** What a push sets of a host. */
export function hostFiles(name: string, host: LabHost, trust: Readonly<Record<string, string>>): Record<string, string> {
  const { settings, ...rest } = host;
  Reflect.deleteProperty(rest, 'suite');
  Reflect.deleteProperty(rest, 'storeMegabytes');
  const all = { ...rest, env: { ...QUICK, ...trust, FLOE_HOST: name, ...settings } };
  return { [`hosts/${name}.nix`]: `builtins.fromJSON (builtins.readFile ../${name}.json)\n`, [`${name}.json`]: JSON.stringify(all, null, 1) };
}

async function readTree(folder: string): Promise<Record<string, string>> {
  const names = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = names.filter((each) => each.isFile()).map(({ parentPath, name }) => join(parentPath, name));
  return Object.fromEntries(await Promise.all(files.map(async (file) => [file.slice(folder.length + 1), await readFile(file, 'utf8')] as const)));
}

/** The agent as it is shipped: one file. */
async function bundledAgent(dir: string): Promise<string> {
  const target = join(dir, 'bundle');
  const result = await exec(process.execPath, [join(PROJECT, 'scripts/bundle.ts'), target], { timeoutMs: 300_000 });
  if (result.exitCode !== 0) throw new Error(result.stderr);
  return join(target, 'floe-agent.mjs');
}
