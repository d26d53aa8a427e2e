// Rewrites nix/node-modules.json, after a change of package-lock.json: sh scripts/run.sh node-modules
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from '../libs/runtime/src/index.ts';
import { NODE_MODULES_SYSTEMS, nodeModulesHash, nodeModulesSeal } from '../nix/testing/node-modules.ts';

const hashes: Record<string, string> = {};
for (const system of Object.keys(NODE_MODULES_SYSTEMS) as (keyof typeof NODE_MODULES_SYSTEMS)[]) {
  console.error(`floe: installing the packages for ${system} …`);
  hashes[system] = await nodeModulesHash(exec, process.env, system);
}
const text = JSON.stringify({ ...hashes, seal: await nodeModulesSeal(hashes) }, null, 2);
await writeFile(join(import.meta.dirname, '../nix/node-modules.json'), `${text}\n`);
