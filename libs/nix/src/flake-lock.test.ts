import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readLock, sourcePath } from './flake-lock.ts';

const locked = {
  type: 'git',
  url: 'https://example.org/base.git',
  rev: 'a'.repeat(40),
  narHash: 'sha256-R+Q7Ob/tBC8GnwR+HEfg0YZ5CZyCngaLIewM0hlCfRw=',
};

function hugeName(): string {
  const below = Array.from({ length: 25_000 }, (_, index) => `n${index}`);
  const nodes = { root: { inputs: { ['x'.repeat(1_200_000)]: 'wide' } }, wide: { inputs: Object.fromEntries(below.map((each) => [each, each])) } };
  return JSON.stringify({ root: 'root', nodes: { ...nodes, ...Object.fromEntries(below.map((each) => [each, {}])) } });
}

function chain(length: number): string {
  const nodes = Array.from({ length }, (_, index) => [`n${index}`, { inputs: { [`input-${index}`]: `n${index + 1}` } }] as const);
  return JSON.stringify({ root: 'n0', nodes: { ...Object.fromEntries(nodes), [`n${length}`]: { locked } } });
}

function mesh(length: number): string {
  const names = Array.from({ length }, (_, index) => `n${index}`);
  const inputs = Object.fromEntries(names.map((name) => [name, name]));
  return JSON.stringify({ root: 'n0', nodes: Object.fromEntries(names.map((name) => [name, { inputs }])) });
}

describe('a lock file', () => {
  it('gives the store paths that Nix itself gives', () => {
    // The result of `nix eval --expr '(builtins.fetchTree …).outPath'` in both versions for a source with this hash.
    expect(sourcePath('sha256-R+Q7Ob/tBC8GnwR+HEfg0YZ5CZyCngaLIewM0hlCfRw=')).toBe('/nix/store/vsc1b75harh9dcfqm4wfl6gnlxrw4m77-source');
  });

  it('gives no login to an input whose repository says what else is fetched', () => {
    const inputsOf = (more: object) =>
      readLock(JSON.stringify({ root: 'root', nodes: { root: { inputs: { base: 'base' } }, base: { locked: { ...locked, ...more } } } }));
    expect(inputsOf({})?.[0]?.remote).toBeDefined();
    expect(inputsOf({ submodules: false })?.[0]?.remote).toBeDefined();
    for (const more of [{ submodules: true }, { lfs: true }, { submodules: 1 }]) expect(inputsOf(more)?.[0]?.remote).toBeUndefined();
  });

  it('names inputs as users do, including inputs of inputs', () => {
    const nodes = {
      root: { inputs: { home: 'home', nixpkgs: 'nixpkgs_2', pkgs: ['home', 'nixpkgs'] } },
      home: { inputs: { nixpkgs: 'nixpkgs' }, locked, original: { type: 'github', owner: 'o', repo: 'home' } },
      nixpkgs: { locked: { ...locked, dir: 'x' } },
      nixpkgs_2: { locked, original: { type: 'indirect', id: 'nixpkgs' } },
    };
    const inputs = readLock(JSON.stringify({ root: 'root', nodes })) ?? [];
    expect(inputs.map(({ name, url }) => `${name} ${url}`)).toEqual([
      'home github:o/home',
      'nixpkgs https://example.org/base.git',
      'pkgs home/nixpkgs',
      'home/nixpkgs https://example.org/base.git',
    ]);
    expect(inputs.find(({ name }) => name === 'home/nixpkgs')?.locked).not.toContain('dir');
  });

  it('finds inputs whatever they are called', () => {
    const names = ['constructor', '__proto__', 'prototype', 'toString', 'hasOwnProperty', 'valueOf'];
    for (const name of names) {
      const text = `{"root":"root","nodes":{"root":{"inputs":{${JSON.stringify(name)}:${JSON.stringify(name)}}},${JSON.stringify(name)}:{"locked":${JSON.stringify(locked)}}}}`;
      expect(readLock(text)?.map((input) => input.name)).toEqual([name]);
    }
    // Names from Object.prototype are not found.
    for (const name of names) {
      expect(readLock(JSON.stringify({ root: 'root', nodes: { root: { inputs: { base: name } } } }))).toBeUndefined();
      expect(readLock(JSON.stringify({ root: name, nodes: { root: {} } }))).toBeUndefined();
    }
  });

  it.for([
    ['a huge name before many inputs without a lock', hugeName()],
    ['a chain as deep as there is room for', chain(24_000)],
    ['every input behind every other', mesh(300)],
  ] as const)('costs little: %s', { timeout: 20_000 }, ([, text]) => {
    expect(text.length).toBeLessThan(2 * 1024 ** 2);
    const started = process.cpuUsage();
    const inputs = readLock(text);
    // It would take minutes if the work were quadratic. Measured in processor time, because the machine may be busy.
    expect(process.cpuUsage(started).user / 1e6).toBeLessThan(5);
    for (const { name } of inputs ?? []) expect(name.length).toBeLessThanOrEqual(200);
  });

  it('costs little however many inputs it has, and however long they are', () => {
    const inputs = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`${'x'.repeat(1_000)}${index}`, 'base']));
    const nodes = { root: { inputs: { ...inputs } }, base: { locked } };
    expect(readLock(JSON.stringify({ root: 'root', nodes }))).toBeUndefined();
    const many = Object.fromEntries(Array.from({ length: 700 }, (_, index) => [`n${index}`, { locked: { ...locked, url: 'u'.repeat(2_000) } }]));
    const root = { inputs: Object.fromEntries(Object.keys(many).map((key) => [key, key])) };
    const read = readLock(JSON.stringify({ root: 'root', nodes: { root, ...many } })) ?? [];
    expect(read.length).toBe(500);
    expect(read.every(({ name, url }) => name.length <= 200 && url.length <= 200)).toBe(true);
  });

  it('that is invalid yields undefined, and never throws', () => {
    fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (text) => void readLock(text)));
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (nodes) => {
        readLock(
          JSON.stringify({ root: 'root', nodes: { root: { inputs: Object.fromEntries(Object.keys(nodes).map((key) => [key, key])) }, ...nodes } }),
        );
      }),
    );
    expect(readLock('<<<<<<< HEAD')).toBeUndefined();
  });
});
