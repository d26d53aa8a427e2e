import { inflateSync } from 'node:zlib';
import type { CommitSha } from '@floe/model';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CommitMakerDeps } from './object-writer.ts';
import { writeProbeCommit } from './probe-commit.ts';
import { parseExactTree, type ExactEntry } from './tree.ts';
import { writeTreeCommit } from './tree-commit.ts';
import { writeVariant } from './variant.ts';

const TREE = 'a'.repeat(40);
const SHA = 'c'.repeat(40) as CommitSha;

/** A repository with one folder, whose new trees are kept. */
function repositoryOf(entries: readonly ExactEntry[]) {
  const trees: ExactEntry[][] = [];
  const deps: CommitMakerDeps = {
    dir: '/mirror',
    tree: async () => await Promise.resolve(entries),
    async writeWhole(_path, content) {
      const object = inflateSync(content);
      if (object.subarray(0, 5).toString() === 'tree ') trees.push(parseExactTree(object.subarray(object.indexOf(0) + 1)));
      await Promise.resolve();
    },
  };
  return { deps, trees };
}

const name = fc
  .uint8Array({ minLength: 1, maxLength: 4 })
  .map((bytes) => Buffer.from(bytes))
  .filter((bytes) => !bytes.includes(0) && !bytes.includes(0x2f) && !['.', '..'].includes(bytes.toString()));

const MAKERS = {
  'of a tree': async (deps: CommitMakerDeps) => await writeTreeCommit(deps, TREE, ['hidden']),
  'that is another': async (deps: CommitMakerDeps) => await writeProbeCommit(deps, TREE, true),
  'without a file': async (deps: CommitMakerDeps) =>
    await writeVariant({ ...deps, raw: async () => await Promise.resolve(Buffer.alloc(0)) }, { sha: SHA, tree: TREE }, ['hidden']),
};

test.each(Object.entries(MAKERS))('a commit %s has all other files under the very names that they have', async (_, make) => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(name, { selector: (bytes) => bytes.toString('hex') }), async (names) => {
      const others = names.filter((each) => each.toString() !== 'hidden');
      const entries = [...others, Buffer.from('hidden')].map((each): ExactEntry => {
        return { mode: '100644', type: 'blob', name: each, path: each.toString(), oid: 'b'.repeat(40) };
      });
      const { deps, trees } = repositoryOf(entries);
      await make(deps);
      const written = new Set(trees.at(-1)?.map((each) => each.name.toString('hex')));
      expect(others.filter((each) => !written.has(each.toString('hex')))).toEqual([]);
    }),
  );
});

test('a commit that is another has each name once, whatever the files are called', async () => {
  const { deps, trees } = repositoryOf([]);
  await writeProbeCommit(deps, TREE, true);
  const again = repositoryOf(trees[0] ?? []);
  await writeProbeCommit(again.deps, TREE, true);
  expect(again.trees[0]).toHaveLength(1);
});
