import type { StorePath } from '@floe/model';
import { FloeError } from '@floe/runtime';
import { describe, expect, test } from 'vitest';
import { assertShape, recogniseShape, TARGET_KINDS, type Shape } from './shape.ts';
import type { StoreFiles } from './store-files.ts';

const PATH = '/nix/store/00000000000000000000000000000000-x' as StorePath;

function filesOf(...names: string[]): StoreFiles {
  const has = (file: string): boolean => names.some((name) => name === file || name.startsWith(`${file}/`));
  return {
    has: async (path, file) => await Promise.resolve(path === PATH && has(file)),
    read: async () => await Promise.reject(new Error('a shape is seen without reading')),
  };
}

async function kindOf(...names: string[]): Promise<Shape['kind']> {
  return (await recogniseShape(filesOf(...names), PATH)).kind;
}

const NIXOS = ['nixos-version', 'bin/switch-to-configuration', 'activate', 'init', 'sw', 'etc', 'kernel'];
const DARWIN = ['darwin-version', 'darwin-version.json', 'activate', 'systemConfig', 'sw', 'etc', 'Library'];
const HOME_MANAGER = ['hm-version', 'gen-version', 'activate', 'bin/home-manager-generation', 'home-files', 'home-path'];

describe('what a closure is, by its files', () => {
  test.each([
    ['nixos', NIXOS],
    ['nixos', ['bin/switch-to-configuration']],
    ['darwin', DARWIN],
    ['darwin', [...DARWIN, 'activate-user']],
    ['darwin', ['darwin-version.json', 'activate']],
    ['home-manager', HOME_MANAGER],
    ['home-manager', ['activate', 'home-files', 'home-path']],
    ['profile', ['bin/hello', 'share/man']],
    ['profile', ['manifest.json']],
    ['profile', ['manifest.nix']],
    // Programs that bear such names do not make a profile a system.
    ['profile', ['bin/activate', 'bin/darwin-version', 'bin/home-manager']],
    ['unknown', ['share/doc']],
    ['unknown', ['activate']],
    ['unknown', []],
  ] as const)('%s: %j', async (kind, files) => {
    expect(await kindOf(...files)).toBe(kind);
  });

  test('a system that cannot be switched to is nothing, and it says what is missing', async () => {
    expect(await recogniseShape(filesOf('nixos-version', 'bin/hello'), PATH)).toEqual({
      kind: 'unknown',
      why: 'it has nixos-version as a NixOS system has, but no bin/switch-to-configuration to switch to it with',
    });
    expect(await kindOf('darwin-version', 'sw')).toBe('unknown');
    expect(await kindOf('hm-version', 'home-files', 'home-path')).toBe('unknown');
  });

  test('marks of two kinds make it unknown: no guess is run as root', async () => {
    expect(await kindOf(...NIXOS, 'hm-version')).toBe('unknown');
    expect(await kindOf(...DARWIN, ...HOME_MANAGER)).toBe('unknown');
    expect((await recogniseShape(filesOf(...NIXOS, ...DARWIN), PATH)).why).toContain('nixos-version');
  });
});

test('a target takes its own shape and refuses every other', () => {
  for (const target of TARGET_KINDS) {
    for (const kind of [...TARGET_KINDS, 'unknown'] as const) {
      const check = (): void => assertShape(target, { kind, why: 'so it looks' });
      if (kind === target) expect(check).not.toThrow();
      else expect(check).toThrow(FloeError);
    }
  }
  expect(() => assertShape('nixos', { kind: 'home-manager', why: 'it has hm-version' })).toThrow(
    expect.objectContaining({
      code: 'SHAPE_MISMATCH',
      retryable: false,
      message: expect.stringContaining('takes a NixOS system, but what is offered is a Home Manager generation (it has hm-version)') as string,
    }),
  );
});
