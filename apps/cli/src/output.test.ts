import { glob, readFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createOutput } from './output.ts';
import { formatTable, plainStyle } from './view/terminal.ts';
import { widthOf } from './view/width.ts';

test('nothing but output.ts writes to the terminal', async () => {
  const found: string[] = [];
  for await (const file of glob('**/*.ts', { cwd: import.meta.dirname, exclude: ['**/test', '**/*.test.ts'] })) {
    // main.ts only hands the streams over; cli.ts says what they are; programs.ts, git.ts and sign-word.ts read those of other programs.
    if (['output.ts', 'main.ts', 'cli.ts', 'policy/programs.ts', 'verify/git.ts', 'sign-word.ts'].includes(file)) continue;
    const text = await readFile(`${import.meta.dirname}/${file}`, 'utf8');
    for (const [use] of text.matchAll(/\b(?:stdout|stderr|console)\b|\bprocess\.|\.write\(/g)) found.push(`${file}: ${use}`);
  }
  expect(found).toEqual([]);
});

test('what a command forgot to make printable is so all the same', () => {
  let shown = '';
  const sink = { write: (text: string) => (shown += text) };
  const out = createOutput({ env: {}, stdout: { ...sink, isTTY: true, columns: 80 }, stderr: sink });
  for (const write of [out.print, out.note, out.help, out.usage, out.ask]) write('a\u001b[2J\u202e\rb');
  expect(shown).toBe('a\ufffd\ufffdb\nfloe: a\ufffd\ufffdb\na\ufffd\ufffdba\ufffd\ufffdba\ufffd\ufffdb');
});

test('a remark of many lines cannot pass for two remarks', () => {
  let shown = '';
  const sink = { write: (text: string) => (shown += text) };
  createOutput({ env: {}, stdout: sink, stderr: sink }).note('no\nfloe: all is well\n');
  expect(shown).toBe('floe: no\n  floe: all is well\n');
});

test('rows stay aligned, whatever their cells hold', () => {
  const Cell = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: 'grapheme' }),
    fc.constantFrom('a\nb', '\ttab', 'x'.repeat(900), '日本', 'e\u0301\u0301', ''),
  );
  fc.assert(
    fc.property(
      fc.array(Cell, { minLength: 1, maxLength: 6 }),
      fc.option(fc.integer({ min: 20, max: 200 }), { nil: undefined }),
      (cells, columns) => {
        const rows = cells.map((text) => [{ text }, { text: '|' }]);
        const lines = formatTable(['A', '|'], rows, { style: plainStyle, columns }).split('\n');
        expect(lines).toHaveLength(cells.length + 1);
        expect(new Set(lines.map((line) => widthOf(line.slice(0, line.lastIndexOf('|'))))).size).toBe(1);
      },
    ),
  );
});
