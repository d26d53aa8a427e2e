import { expect, test } from 'vitest';
import { formatTable, inColours, markStyle, plainStyle } from './terminal.ts';

test('only what the command marks is coloured, whatever colours and marks the text brings along', () => {
  const text = '\u001b[31mred\u001b[0m \ufdd2fake\ufdd5';
  expect(inColours(`${markStyle('good', text)} rest \u001b[32mgreen`)).toBe('\u001b[32mred \ufffdfake\ufffd\u001b[39m rest green');
  expect(plainStyle('good', text)).toBe('red \ufffdfake\ufffd');
});

test('a long name leaves the rest of the row in its place', () => {
  const table = formatTable(
    ['A', 'B'],
    [
      [{ text: 'x'.repeat(900) }, { text: 'why' }],
      [{ text: 'ws1' }, { text: 'y' }],
    ],
    { style: plainStyle, columns: 80 },
  );
  const [heading, long, short] = table.split('\n');
  expect(long).toBe(`${'x'.repeat(39)}…  why`);
  expect([heading?.indexOf('B'), short?.indexOf('y')]).toEqual([42, 42]);
});

test('the last column of a table is cut to the width of the terminal, and nothing without one', () => {
  const rows = [[{ text: 'ws1' }, { text: 'x'.repeat(60) }]];
  expect(formatTable(['A', 'B'], rows, { style: plainStyle, columns: 40 }).split('\n')).toEqual(['A    B', `ws1  ${'x'.repeat(34)}…`]);
  expect(formatTable(['A', 'B'], rows, { style: plainStyle, columns: undefined }).split('\n')[1]).toHaveLength(65);
});
