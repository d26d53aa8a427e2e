// Run by stage.ts as the server's user: tries every theft the way a push would, and once more with impure evaluation.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostName } from '@floe/model';
import { exec, isFloeError, silentLogger } from '@floe/runtime';
import { createNix, createRepositoryNix, openSandbox } from '@floe/nix';
import { sandboxInTest } from '../sandbox-in-test.ts';
import type { BurglarySettings } from './report.ts';

const { dataDir, isSandboxed, mayBuildsChangeStore, thefts, urls, secrets } = JSON.parse(
  await readFile(process.argv[2] ?? '', 'utf8'),
) as BurglarySettings;
const limits = { timeoutMs: 60_000, maxMemoryBytes: 4 * 1024 ** 3, signal: new AbortController().signal };
const AT_ONCE = 3;

/** As Nix ran before there was a sandbox. */
const bare = sandboxInTest(join(dataDir, 'bare'), (file, args) => ({ file, args, env: { ...process.env, HOME: join(dataDir, 'bare') } }));
const sandbox = isSandboxed
  ? await openSandbox(
      { exec, env: process.env, dir: join(dataDir, 'sandbox'), readable: [join(dataDir, 'mirrors')] },
      { secrets, programs: [], nonce: String(performance.now()), mayBuildsChangeStore },
    ).catch((error: unknown) => {
      if (!isFloeError(error)) throw error;
      process.stdout.write(JSON.stringify({ impure: {}, pure: {}, flakes: {}, refused: error.code }));
      process.exit(0);
    })
  : bare;
const nix = createRepositoryNix({ exec, logger: silentLogger, sandbox }, createNix({ exec, logger: silentLogger, env: process.env }));

async function evaluate(url: string, hosts: readonly string[]): Promise<Record<string, string>> {
  const told: Record<string, string> = {};
  const onResult = (result: { readonly host: string }): void => void (told[result.host] = JSON.stringify(result));
  await nix.evaluateHosts(url, hosts as readonly HostName[], { ...limits, concurrency: AT_ONCE, onResult }).catch((error: unknown) => {
    for (const host of hosts) told[host] ??= String(error);
  });
  return told;
}

const impure: Record<string, string> = {};
const tried = (mode: 'pure' | 'impure'): typeof thefts =>
  thefts.filter(({ worksBare }) => (mode === 'pure' ? isSandboxed || worksBare === 'pure' : worksBare !== 'pure'));
const queue = [...tried('impure')];
async function burglar(): Promise<void> {
  for (let theft = queue.shift(); theft !== undefined; theft = queue.shift()) {
    await using command = await sandbox.prepare('nix', [
      'eval',
      '--impure',
      '--raw',
      '--expr',
      theft.expression,
      '--extra-experimental-features',
      'nix-command flakes',
    ]);
    const { stdout, stderr } = await exec(command.file, command.args, { env: command.env, timeoutMs: 60_000 });
    impure[theft.name] = `${stdout}\n${stderr}`;
  }
}
await Promise.all(Array.from({ length: AT_ONCE }, burglar));

const byHost = await evaluate(
  urls['fleet'] ?? '',
  tried('pure').map(({ host }) => host),
);
const pure = Object.fromEntries(thefts.flatMap(({ name, host }) => (byHost[host] === undefined ? [] : [[name, byHost[host]]])));
const flakes: Record<string, string> = {};
for (const [name, url] of Object.entries(urls)) {
  if (name === 'fleet') continue;
  const hosts = await nix.listHosts(url, limits).catch(String);
  const listed = JSON.stringify(hosts);
  if (typeof hosts === 'object' && hosts.hasPolicy) {
    flakes[`${name}, by its policy`] = await nix.readFleetPolicy(url, limits).then(JSON.stringify, String);
  }
  flakes[name] = `${listed}\n${JSON.stringify(await evaluate(url, ['ada']))}`;
}
process.stdout.write(JSON.stringify({ impure, pure, flakes }));
