import { mkdir, mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { exec } from '@floe/runtime';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const NIX_FOLDER = import.meta.dirname;
const NIX_CONFIG = ['experimental-features = nix-command flakes', 'substituters =', 'sandbox = false', 'build-users-group ='].join('\n');

/** What nix/node-modules.nix takes from nixpkgs, in a few lines; packages come from the folder TARBALLS. */
const STUB = `
  let
    lib = rec {
      importJSON = path: builtins.fromJSON (builtins.readFile path);
      last = list: builtins.elemAt list (builtins.length list - 1);
      init = list: builtins.genList (builtins.elemAt list) (builtins.length list - 1);
      splitString = separator: text: builtins.filter builtins.isString (builtins.split separator text);
      hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
      filterAttrs = keep: set: removeAttrs set (builtins.filter (name: !keep name set.\${name}) (builtins.attrNames set));
      concatStrings = builtins.concatStringsSep "";
      concatMapStrings = make: list: concatStrings (map make list);
      mapAttrsToList = make: set: map (name: make name set.\${name}) (builtins.attrNames set);
    };
  in
  { lockFile, fetchurl, runCommand }: import ${NIX_FOLDER}/node-modules.nix {
    inherit lib fetchurl runCommand lockFile;
    os = "linux"; cpu = "x64"; libc = "glibc";
  }
`;
const RUN = `name: env: script: derivation (env // { inherit name; system = builtins.currentSystem; builder = "/bin/sh"; args = [ "-e" "-c" script ]; PATH = "/usr/bin:/bin:/run/current-system/sw/bin"; })`;

let dir = '';

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'floe-nix-'));
});
afterAll(async () => {
  await rm(dir, { recursive: true, force: true });
});

async function nix(program: string, args: readonly string[]): Promise<string> {
  const result = await exec(program, args, { env: { ...process.env, NIX_CONFIG }, timeoutMs: 60_000, maxStdoutBytes: 4 * 1024 * 1024 });
  expect(result.exitCode, result.stderr).toBe(0);
  return result.stdout;
}

describe('the Nix files', () => {
  // The agent's module is evaluated, in agent-module.nix.test.ts.
  const files = ['../flake.nix', 'packages.nix', 'node-modules.nix', 'modules/server.nix'];

  it.each(files)('%s can be parsed', async (file) => {
    expect(await nix('nix-instantiate', ['--parse', join(NIX_FOLDER, file)])).not.toBe('');
  });
});

describe('node_modules by Nix', () => {
  it('fetches what npm installs here, from the address and with the hash of each package', async () => {
    const expression = `(${STUB}) { lockFile = ${NIX_FOLDER}/../package-lock.json; fetchurl = { url, hash }: "<\${url} \${hash}>"; runCommand = name: env: script: script; }`;
    const script = JSON.parse(await nix('nix-instantiate', ['--eval', '--strict', '--json', '--expr', expression])) as string;
    const lock = JSON.parse(await readFile(join(NIX_FOLDER, '../package-lock.json'), 'utf8')) as {
      packages: Record<string, { version: string; integrity: string }>;
    };
    const preact = lock.packages['node_modules/@preact/signals'];
    expect(script).toContain(`/@preact/signals/-/signals-${preact?.version}.tgz ${preact?.integrity}>`);
    expect(script).toContain('"$out/node_modules/@esbuild/linux-x64"');
    expect(script).toContain('"$out/node_modules/@rolldown/binding-linux-x64-gnu"');
    expect(script).not.toMatch(/win32|darwin|linux-arm64|linux-x64-musl/);
    expect(script).toContain('ln -s "../../libs/model" "$out/node_modules/@floe/model"');
  });

  it('unpacks packages where Node looks for them', async () => {
    const tarballs = join(dir, 'tarballs');
    await mkdir(tarballs);
    const pack = async (file: string, content: string): Promise<void> => {
      await mkdir(join(dir, 'package'), { recursive: true });
      await writeFile(join(dir, 'package/index.js'), content);
      await nix('tar', ['--create', '--gzip', '--file', join(tarballs, file), '--directory', dir, 'package']);
    };
    await pack('a-1.0.0.tgz', 'a1');
    await pack('b-2.0.0.tgz', 'b2');
    await pack('b-1.0.0.tgz', 'b1');
    const lockFile = join(dir, 'package-lock.json');
    const packages = {
      '': { name: 'root' },
      'libs/own': { name: 'own' },
      'node_modules/own': { resolved: 'libs/own', link: true },
      'node_modules/@scope/a': { version: '1.0.0', integrity: 'x' },
      'node_modules/@scope/a/node_modules/b': { version: '1.0.0', integrity: 'x' },
      'node_modules/b': { version: '2.0.0', integrity: 'x' },
      'node_modules/not-here': { version: '1.0.0', integrity: 'x', optional: true, os: ['!linux'] },
    };
    await writeFile(lockFile, JSON.stringify({ packages }));
    const expression = `(${STUB}) { lockFile = ${lockFile}; fetchurl = { url, hash }: "\${builtins.path { path = ${tarballs} + "/\${baseNameOf url}"; name = "package.tgz"; }}"; runCommand = ${RUN}; }`;
    const out = (await nix('nix-build', ['--no-out-link', '--expr', expression])).trim();

    expect((await readdir(join(out, 'node_modules'))).toSorted()).toEqual(['@scope', 'b', 'own']);
    expect(await readFile(join(out, 'node_modules/@scope/a/index.js'), 'utf8')).toBe('a1');
    expect(await readFile(join(out, 'node_modules/@scope/a/node_modules/b/index.js'), 'utf8')).toBe('b1');
    expect(await readFile(join(out, 'node_modules/b/index.js'), 'utf8')).toBe('b2');
    expect(await readlink(join(out, 'node_modules/own'))).toBe('../libs/own');
  });
});
