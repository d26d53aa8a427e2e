import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exec } from '@floe/runtime';
import { describe, expect, it } from 'vitest';
import { NODE_MODULES_SYSTEMS, nodeModulesHash, nodeModulesSeal } from './testing/node-modules.ts';

const NIX_FOLDER = import.meta.dirname;
const NIX_CONFIG = ['experimental-features = nix-command flakes', 'substituters =', 'sandbox = false', 'build-users-group ='].join('\n');

/** What nix/node-modules.nix takes from nixpkgs, in a few lines: the derivation is what is given for it. */
const STUB = `
  system: import ${NIX_FOLDER}/node-modules.nix {
    lib = {
      importJSON = path: builtins.fromJSON (builtins.readFile path);
      hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
      fetchers.proxyImpureEnvVars = [ "https_proxy" ];
    };
    stdenvNoCC.mkDerivation = attributes: attributes;
    nodejs = "/nodejs"; cacert = "/cacert"; src = "/src"; inherit system;
  }
`;

async function nix(program: string, args: readonly string[]): Promise<string> {
  const result = await exec(program, args, { env: { ...process.env, NIX_CONFIG }, timeoutMs: 60_000, maxStdoutBytes: 4 * 1024 * 1024 });
  expect(result.exitCode, result.stderr).toBe(0);
  return result.stdout;
}

const hashes = JSON.parse(await readFile(join(NIX_FOLDER, 'node-modules.json'), 'utf8')) as Record<string, string>;

describe('the Nix files', () => {
  // The modules are evaluated, in agent-module.nix.test.ts, server-module.nix.test.ts and builder-module.nix.test.ts.
  const files = ['../flake.nix', 'packages.nix', 'node-modules.nix', 'modules/server.nix', 'modules/builder.nix'];

  it.each(files)('%s can be parsed', async (file) => {
    expect(await nix('nix-instantiate', ['--parse', join(NIX_FOLDER, file)])).not.toBe('');
  });
});

describe('node_modules by Nix', () => {
  it.each(Object.entries(NODE_MODULES_SYSTEMS))('on %s is what npm installs for %s, known by its hash', async (system, cpu) => {
    const wanted = ['outputHash', 'outputHashMode', 'buildPhase'].map((name) => `${name} = d.${name};`).join(' ');
    const expression = `let d = (${STUB}) "${system}"; in { ${wanted} }`;
    const derivation = JSON.parse(await nix('nix-instantiate', ['--eval', '--strict', '--json', '--expr', expression])) as Record<string, string>;
    expect(derivation).toMatchObject({ outputHash: hashes[system], outputHashMode: 'recursive' });
    expect(derivation['buildPhase']).toContain(`node-modules.sh "$out" ${cpu}`);
  });

  it('has hashes of what is here: after a change of package-lock.json, run sh scripts/run.sh node-modules', async () => {
    expect(await nodeModulesSeal(hashes)).toBe(hashes['seal']);
  });

  it.runIf(process.env['FLOE_THOROUGH_TESTS'] !== undefined)('has the hash of what npm installs here', async () => {
    const system = process.arch === 'arm64' ? 'aarch64-linux' : 'x86_64-linux';
    expect(await nodeModulesHash(exec, process.env, system)).toBe(hashes[system]);
  });
});
