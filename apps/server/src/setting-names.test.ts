import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nameSettings, NIXOS_OPTIONS } from '@floe/pipeline';
import { expect, test } from 'vitest';
import { parseConfig } from './config.ts';

const MODULES = join(import.meta.dirname, '../../../nix/modules');
/** What the modules set by themselves: no option has its value. */
const OWN = new Set(['FLOE_CONFIGURED_BY', 'FLOE_DATA_DIR']);

test('every setting of the NixOS modules is told by its option', async () => {
  const files = ['server/service.nix', 'builder/service.nix', 'shared/building-service.nix', 'shared/service.nix'];
  const module = (await Promise.all(files.map(async (file) => await readFile(join(MODULES, file), 'utf8')))).join('\n');
  const set = [...module.matchAll(/^ +(FLOE_[A-Z_]+) = (.+);$/gm)].map(([, variable = '', value = '']) => [variable, value] as const);
  expect(set.length).toBeGreaterThan(25);
  expect([...NIXOS_OPTIONS.keys()].toSorted()).toEqual(
    set
      .map(([variable]) => variable)
      .filter((variable) => !OWN.has(variable))
      .toSorted(),
  );
  // Most are the option as it is; those that are made of one name it, or a name that the module gives to it.
  for (const [variable, value] of set) {
    const option = NIXOS_OPTIONS.get(variable);
    if (option !== undefined) expect(value === 'if isUnconfined then "yes" else null' ? module : value).toContain(`cfg.${option}`);
  }
});

test('a message names the option on NixOS, and the variable elsewhere', () => {
  const message = 'set FLOE_REPOSITORY_URL or FLOE_REPOSITORY_MAX_MIB, not FLOE_SOMETHING';
  expect(nameSettings(message, 'nixos', 'floe-server')).toBe(
    'set services.floe.server.repository.url or services.floe.server.repository.maxMib, not FLOE_SOMETHING',
  );
  expect(nameSettings(message, 'nixos', 'floe-builder')).toContain('set services.floe.builder.repository.url or');
  expect(nameSettings(message, undefined, 'floe-server')).toBe(message);
});

test('what is wrong with the configuration is told so, too', () => {
  expect(() => parseConfig({ FLOE_CONFIGURED_BY: 'nixos', FLOE_POLL_SECONDS: 'often' }, () => '')).toThrow(
    /services\.floe\.server\.repository\.url is missing[\s\S]*services\.floe\.server\.pollSeconds is "often"/,
  );
});
