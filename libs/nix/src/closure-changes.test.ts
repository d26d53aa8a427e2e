import type { StorePath } from '@floe/model';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { compareClosures, packageNameOf, type Closure } from './closure-changes.ts';

const KB = 1024;
const path = (name: string, hash = 'a'): StorePath => `/nix/store/${hash.padEnd(32, '0')}-${name}` as StorePath;
const closure = (...paths: [string, number, string?][]): Closure => new Map(paths.map(([name, size, hash]) => [path(name, hash), size]));

describe('name and version of a store path', () => {
  it.each([
    ['firefox-130.0', 'firefox', '130.0'],
    ['openssl-3.0.14-bin', 'openssl', '3.0.14'],
    ['openssl-3.0.14-dev-doc', 'openssl', '3.0.14'],
    ['glibc-2.39-52', 'glibc', '2.39-52'],
    ['glibc-locales-2.39-52', 'glibc-locales', '2.39-52'],
    ['foo-unstable-2024-01-02', 'foo-unstable', '2024-01-02'],
    ['linux-6.6.52-modules', 'linux', '6.6.52'],
    ['bar-1.0-unstable', 'bar', '1.0-unstable'],
    ['nixos-system-ada-24.11.20240916.abc', 'nixos-system-ada', '24.11.20240916.abc'],
    ['unit-sshd.service', 'unit-sshd.service', ''],
    ['etc', 'etc', ''],
    ['python3.12-requests-2.32.3', 'python3.12-requests', '2.32.3'],
    ['user-man', 'user-man', ''],
    ['trailing-', 'trailing-', ''],
  ])('%s', (text, name, version) => {
    expect(packageNameOf(path(text))).toEqual({ name, version });
  });
});

describe('comparing closures', () => {
  it('lists what was added, removed and changed, by name, with the difference in size', () => {
    const before = closure(['firefox-130.0', 200 * KB], ['nano-8.0', 9 * KB], ['same-1', 5 * KB]);
    const after = closure(['firefox-131.0', 300 * KB, 'b'], ['htop-3.3.0', 7 * KB], ['same-1', 5 * KB]);
    expect(compareClosures(before, after)).toEqual({
      packages: [
        { name: 'firefox', before: ['130.0'], after: ['131.0'], sizeDeltaBytes: 100 * KB },
        { name: 'htop', before: [], after: ['3.3.0'], sizeDeltaBytes: 7 * KB },
        { name: 'nano', before: ['8.0'], after: [], sizeDeltaBytes: -9 * KB },
      ],
      addedCount: 1,
      removedCount: 1,
      rebuiltCount: 0,
      sizeBeforeBytes: 214 * KB,
      sizeAfterBytes: 312 * KB,
    });
  });

  it('counts packages that were only rebuilt, and lists those whose size changed much', () => {
    const before = closure(['etc', 10, 'a'], ['glibc-2.39', 30_000, 'a'], ['big-1', 1_000 * KB, 'a']);
    const after = closure(['etc', 12, 'b'], ['glibc-2.39', 30_001, 'b'], ['big-1', 2_000 * KB, 'b']);
    const changes = compareClosures(before, after);
    expect(changes.rebuiltCount).toBe(2);
    expect(changes.packages).toEqual([{ name: 'big', before: ['1'], after: ['1'], sizeDeltaBytes: 1_000 * KB }]);
  });

  it('merges the outputs of a package, and lists several versions in their order', () => {
    const before = closure(['openssl-3.0.9', 10, 'a'], ['openssl-3.0.9-bin', 20, 'b'], ['node-9.1', 1, 'c']);
    const after = closure(['openssl-3.0.10', 15, 'd'], ['openssl-3.0.10-bin', 20, 'e'], ['node-9.1', 1, 'c'], ['node-10.0', 2, 'f']);
    expect(compareClosures(before, after).packages).toEqual([
      { name: 'node', before: ['9.1'], after: ['9.1', '10.0'], sizeDeltaBytes: 2 },
      { name: 'openssl', before: ['3.0.9'], after: ['3.0.10'], sizeDeltaBytes: 5 },
    ]);
  });

  it('finds no changes between a closure and itself, and the opposite changes in the other direction', () => {
    const names = fc.constantFrom('a-1', 'a-2', 'a-2-bin', 'b', 'c-3', 'c-3-doc', 'd-4-5');
    const any = fc
      .array(fc.tuple(names, fc.nat(10_000_000), fc.constantFrom('x', 'y')), { maxLength: 12 })
      .map((entries) => closure(...entries.map(([name, size, hash]): [string, number, string] => [name, size, hash])));
    fc.assert(
      fc.property(any, any, (one, other) => {
        expect(compareClosures(one, one)).toMatchObject({ packages: [], addedCount: 0, removedCount: 0, rebuiltCount: 0 });
        const there = compareClosures(one, other);
        const back = compareClosures(other, one);
        expect(back.packages).toEqual(
          there.packages.map(({ name, before, after, sizeDeltaBytes }) => ({
            name,
            before: after,
            after: before,
            sizeDeltaBytes: 0 - sizeDeltaBytes,
          })),
        );
        expect([back.addedCount, back.removedCount, back.rebuiltCount]).toEqual([there.removedCount, there.addedCount, there.rebuiltCount]);
      }),
    );
  });
});
