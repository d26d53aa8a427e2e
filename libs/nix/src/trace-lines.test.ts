import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { looksOfLine } from './trace-lines.ts';

const ROOT = `/nix/store/${'a'.repeat(32)}-source`;
const CWD = 'AT_FDCWD</tmp/x>';

describe('what a line of strace says that was looked at', () => {
  test.each([
    [`12 openat(${CWD}, "${ROOT}/lib/x.nix", O_RDONLY|O_CLOEXEC) = 12<${ROOT}/lib/x.nix>`, ['read lib/x.nix', 'read lib/x.nix']],
    [`12 newfstatat(${CWD}, "${ROOT}/nope", 0x7ffd, AT_SYMLINK_NOFOLLOW) = -1 ENOENT (No such file or directory)`, ['kind nope']],
    [`12 newfstatat(12<${ROOT}/data>, "", {st_mode=S_IFDIR|0555, ...}, AT_EMPTY_PATH) = 0`, ['kind data', 'kind data']],
    [`12 getdents64(12<${ROOT}>, 0x5590 /* 4 entries */, 32768) = 104`, ['list .']],
    [`12 readlink("${ROOT}/data/l", "f.txt", 1024) = 5`, ['read data/l']],
    [`12 readlinkat(4<${ROOT}/data>, "l", "f.txt", 1024) = 5`, ['read data', 'read data/l']],
    [`12 openat(4<${ROOT}/data>, "sub/g", O_RDONLY <unfinished ...>`, ['read data', 'read data/sub/g']],
    [`13 <... openat resumed>) = 5<${ROOT}/data/sub/g>`, ['read data/sub/g']],
    [`12 newfstatat(${CWD}, "${ROOT}//flake.lock", 0x7, AT_SYMLINK_NOFOLLOW) = -1 ENOENT (No such file or directory)`, ['kind flake.lock']],
    [`12 lgetxattr("${ROOT}/x", "user.x", NULL, 0) = -1 ENODATA (No data available)`, ['read x']],
    [`12 openat(${CWD}, "${ROOT}-other/x", O_RDONLY) = 12<${ROOT}-other/x>`, []],
    [`12 openat(${CWD}, "${ROOT}/caf\\303\\251", O_RDONLY) = -1 ENOENT (No such file or directory)`, ['read café']],
    [`12 openat(${CWD}, "${ROOT}/a\\"b<c>", O_RDONLY) = 3<${ROOT}/a"b\\74c\\76>`, ['read a"b<c>', 'read a"b<c>']],
    ['strace: something else', []],
  ])('%s', (line, looks) => {
    expect(looksOfLine(line, ROOT)).toEqual(looks);
  });

  test.each([`12 openat(${CWD}, "${ROOT}/\\377", O_RDONLY) = 3`, `12 openat(${CWD}, "${ROOT}/a/../b", O_RDONLY) = 3`])(
    'a name that no path in git has is not guessed: %s',
    (line) => {
      expect(looksOfLine(line, ROOT)).toBe('unclear');
    },
  );

  test('a name is found again whatever is in it', () => {
    const name = fc.string({ unit: 'binary', minLength: 1 }).filter((text) => !/[/\0]|^\.{1,2}$/.test(text) && text.isWellFormed());
    fc.assert(
      fc.property(name, (text) => {
        const quoted = [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('');
        expect(looksOfLine(`1 openat(${CWD}, "${ROOT}/d/${quoted}", O_RDONLY) = 3<${ROOT}/d/${quoted}>`, ROOT)).toEqual([
          `read d/${text}`,
          `read d/${text}`,
        ]);
      }),
    );
  });
});
