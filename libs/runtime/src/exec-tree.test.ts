import { expect, test } from 'vitest';
import type { ControlGroup } from './exec-cgroup.ts';
import { ProcessTree } from './exec-tree.ts';

/** The tree of the process that started this one, as if it were in a control group whose memory files have this. */
function treeIn(group: { readonly members: readonly number[]; readonly current?: number; readonly peak?: number }): ProcessTree {
  const fake = { members: () => group.members, memory: (of: 'current' | 'peak') => group[of] };
  return new ProcessTree(process.ppid, { group: fake as unknown as ControlGroup, marker: undefined, limits: undefined });
}

test('where the kernel keeps no peak, it is the most that was read', () => {
  const group = { members: [1], current: 5 };
  const tree = treeIn(group);
  expect(tree.peakBytes()).toBeUndefined();
  expect(tree.memoryBytes()).toBe(5);
  group.current = 3;
  expect(tree.memoryBytes()).toBe(3);
  expect(tree.peakBytes()).toBe(5);
});

test('where it keeps one, that counts', () => {
  const tree = treeIn({ members: [1], current: 5, peak: 7 });
  tree.memoryBytes();
  expect(tree.peakBytes()).toBe(7);
});

test('a group that the program could not enter says nothing about it', () => {
  const tree = treeIn({ members: [], current: 0, peak: 0 });
  expect(tree.peakBytes()).toBeUndefined();
  const bytes = tree.memoryBytes();
  expect(bytes).toBeGreaterThan(1e6);
  expect(tree.peakBytes()).toBe(bytes);
});
