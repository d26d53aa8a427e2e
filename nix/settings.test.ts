import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
/** What the server and a builder of its own read alike. */
const BUILDER = 'libs/pipeline/src/builder/{builder-config,publish-config,repository-config,settings-reader,sign-config}';

/** The names of settings that the files of a pattern have. */
async function settingsIn(pattern: string): Promise<string[]> {
  const files: string[] = [];
  for await (const file of glob(pattern, { cwd: ROOT })) files.push(file);
  expect(files, pattern).not.toEqual([]);
  const text = (await Promise.all(files.map(async (file) => await readFile(join(ROOT, file), 'utf8')))).join('\n');
  return [...new Set<string>(text.match(/\b(?:FLOE_[A-Z_]*[A-Z]|DATABASE_URL)\b/g) ?? [])].toSorted();
}

describe.each([
  // NixOS always has Nix's daemon.
  {
    app: 'server',
    source: `{apps/server/src/config,${BUILDER}}.ts`,
    isForNixos: (name: string) => name !== 'FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE',
  },
  {
    app: 'builder',
    source: `{apps/builder/src/config,${BUILDER}}.ts`,
    isForNixos: (name: string) => name !== 'FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE',
  },
  // A machine is never played by a folder on NixOS.
  { app: 'agent', source: 'apps/agent/src/config.ts', isForNixos: (name: string) => name !== 'FLOE_ROOT' },
])('the settings of the $app', ({ app, source, isForNixos }) => {
  it('can all be set by its NixOS module, which sets no other', async () => {
    const shared = app === 'agent' ? '' : ',shared/*.nix';
    expect(await settingsIn(`nix/modules/{${app}.nix,${app}/*.nix${shared}}`)).toEqual((await settingsIn(source)).filter(isForNixos));
  });

  it('are all in docs/configuration.md', async () => {
    expect(await settingsIn('docs/configuration.md')).toEqual(expect.arrayContaining(await settingsIn(source)));
  });
});

it('the help of floe-agent names every setting of the agent', async () => {
  expect(await settingsIn('apps/agent/src/cli.ts')).toEqual(expect.arrayContaining(await settingsIn('apps/agent/src/config.ts')));
});

it('the help of floe-builder names every setting of a builder', async () => {
  const own = (await settingsIn(`{apps/builder/src/config,${BUILDER}}.ts`)).filter((name) => name !== 'FLOE_CONFIGURED_BY');
  expect(await settingsIn('{apps/builder/src,libs/pipeline/src/builder}/usage.ts')).toEqual([...own, 'FLOE_BUILDER_KEYS_FILE'].toSorted());
});

it('docs/configuration.md names no setting that nothing reads', async () => {
  const sources = [
    `{apps/server/src/config,${BUILDER}}.ts`,
    'apps/builder/src/{config,main}.ts',
    'apps/agent/src/config.ts',
    'apps/agent/src/machines/targets/config.ts',
    'apps/agent/src/local/protocol.ts',
    'apps/cli/src/connect.ts',
  ];
  const known = new Set((await Promise.all(sources.map(settingsIn))).flat());
  expect((await settingsIn('docs/configuration.md')).filter((name) => !known.has(name))).toEqual([]);
});
