import type { HostName } from '@floe/model';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { commitFlake, SYSTEM, WORLDS, type World } from './test/worlds.ts';

const limits = { timeoutMs: 60_000, maxMemoryBytes: 2 * 1024 ** 3, signal: new AbortController().signal };

describe.each(WORLDS.filter(({ isMissing }) => !isMissing))('with $name', ({ open }) => {
  let world: World;
  beforeAll(async () => {
    world = await open();
  });
  afterAll(async () => {
    await world.close();
  });

  test('an evaluation names the files that were imported for its host, also one that fails, and believes no expression', async () => {
    const system = (arg: string): string => `derivation { name = "x"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ ${arg} ]; }`;
    const lie = 'builtins.trace "evaluating file \'${toString ./.}/modules/never.nix\'"';
    const hosts = {
      ada: system('(import ./modules/ada.nix)'),
      bob: system('(import ./modules/folder)'),
      cyd: system(`(${lie} (import ./modules/ada.nix))`),
      dan: 'import ./modules/broken.nix',
    };
    const outputs = Object.entries(hosts).map(([name, value]) => `nixosConfigurations.${name}.config.system.build.toplevel = ${value};`);
    const url = await commitFlake(world.dir, {
      'flake.nix': `{ outputs = { self }: { ${outputs.join('\n')} }; }`,
      'modules/ada.nix': 'import ../lib/shared.nix',
      'lib/shared.nix': '"shared"',
      'modules/folder/default.nix': 'import ../../lib/shared.nix',
      'modules/never.nix': '"never"',
      'modules/broken.nix': 'throw "broken"',
    });
    const imported: Record<string, readonly string[] | undefined> = {};
    await world.nix.evaluateHosts(url, Object.keys(hosts) as HostName[], {
      ...limits,
      concurrency: 2,
      onResult: (result) => void (imported[result.host] = result.imported?.toSorted()),
    });
    expect(imported).toEqual({
      ada: ['flake.nix', 'lib/shared.nix', 'modules/ada.nix'],
      bob: ['flake.nix', 'lib/shared.nix', 'modules/folder/default.nix'],
      cyd: ['flake.nix', 'lib/shared.nix', 'modules/ada.nix'],
      dan: ['flake.nix', 'modules/broken.nix'],
    });
  });
});
