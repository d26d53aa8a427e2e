import { expect, test } from 'vitest';
import { findSelfMentions } from './self-mentions.ts';

async function kindsIn(...lines: readonly string[]): Promise<readonly string[]> {
  const entry = { mode: '100644', type: 'blob', path: 'a.nix', oid: 'a' } as const;
  const found = await findSelfMentions(
    { tree: async () => await Promise.resolve([entry]), blob: async () => await Promise.resolve(Buffer.from(lines.join('\n'))) },
    'root',
  );
  return found.map(({ kind, path, line }) => `${kind} ${path}:${line}`);
}

test.each([
  ['system.configurationRevision = self.rev or "dirty";', 'commit'],
  ['version = inputs.self.shortRev;', 'commit'],
  ['date = self.sourceInfo.lastModifiedDate;', 'commit'],
  ['inherit (self) rev;', 'commit'],
  ['sops.defaultSopsFile = "${self}/secrets/a.yaml";', 'files'],
  ['src = self.outPath;', 'files'],
  ['file = self + "/secrets/a.age";', 'files'],
  ['nix.registry.self.flake = self;', 'whole'],
  ['nix.registry = lib.mapAttrs (_: flake: { inherit flake; }) inputs;', 'whole'],
  ['nix.nixPath = lib.mapAttrsToList (n: _: "${n}=flake:${n}") inputs;', 'whole'],
])('%s uses the %s', async (line, kind) => {
  expect(await kindsIn('{', line, '}')).toEqual([`${kind} a.nix:2`]);
});

test.each([
  '{ self, ... }:',
  'self.nixosModules.default',
  '# self.rev',
  '# self.rev\r',
  'x = 1; # ${self}',
  'itself.rev',
  'imports = [ self.nixosModules.a ];',
])('%s is none', async (line) => {
  expect(await kindsIn(line)).toEqual([]);
});

test('the files of folders are looked at, those that are no Nix are not, and a tree without end ends', async () => {
  const blob = async (): Promise<Buffer> => await Promise.resolve(Buffer.from('x = self.rev;'));
  const trees: Record<string, readonly { readonly mode: string; readonly type: 'tree' | 'blob'; readonly path: string; readonly oid: string }[]> = {
    root: [
      { mode: '040000', type: 'tree', path: 'hosts', oid: 'hosts' },
      { mode: '100644', type: 'blob', path: 'notes.md', oid: 'a' },
    ],
    hosts: [{ mode: '100644', type: 'blob', path: 'ada.nix', oid: 'a' }],
  };
  expect(await findSelfMentions({ tree: async (oid) => await Promise.resolve(trees[oid] ?? []), blob }, 'root')).toEqual([
    { kind: 'commit', path: 'hosts/ada.nix', line: 1 },
  ]);
  const endless = async () => await Promise.resolve([{ mode: '040000', type: 'tree', path: 'x', oid: 'x' } as const]);
  expect(await findSelfMentions({ tree: endless, blob }, 'root')).toEqual([]);
});
