import { describe, expect, test } from 'vitest';
import { changedLooks, type NodeChange } from './footprint.ts';

function looks(...changes: readonly NodeChange[]): readonly string[] | 'all' {
  const found = changedLooks(changes);
  return found === 'all' ? found : [...found].toSorted();
}

describe('what finds something else after a change', () => {
  test.each<[string, NodeChange, readonly string[] | 'all']>([
    ['a file with another content', { path: 'a/b', before: 'file', after: 'file' }, ['read a/b']],
    ['a file that becomes executable', { path: 'a/b', before: 'file', after: 'executable' }, ['read a/b']],
    ['a link with another target', { path: 'a', before: 'link', after: 'link' }, ['read a']],
    ['a new file', { path: 'a/b', before: undefined, after: 'file' }, ['kind a/b', 'list a', 'list a/b', 'read a/b']],
    ['a new file at the root', { path: 'b', before: undefined, after: 'file' }, ['kind b', 'list .', 'list b', 'read b']],
    ['a file that is gone', { path: 'a/b', before: 'file', after: undefined }, ['kind a/b', 'list a', 'list a/b', 'read a/b']],
    ['a file that becomes a link', { path: 'a/b', before: 'file', after: 'link' }, ['kind a/b', 'list a', 'list a/b', 'read a/b']],
    ['a folder that becomes a file', { path: 'a/b', before: 'folder', after: 'file' }, ['kind a/b', 'list a', 'list a/b', 'read a/b']],
    ['what gives other files their contents', { path: 'a/.gitattributes', before: 'file', after: 'file' }, 'all'],
  ])('%s', (_, change, expected) => {
    expect(looks(change)).toEqual(expected);
  });
});
