import fc from 'fast-check';
import { expect, test } from 'vitest';
import { LineSplitter, Tail } from './exec-output.ts';

const Chunks = fc.array(fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes.map((byte) => (byte % 5 === 0 ? 0x0a : byte)))));

test('a tail is the end of the stream, however it was split into chunks', () => {
  fc.assert(
    fc.property(Chunks, fc.integer({ min: 0, max: 200 }), (chunks, limit) => {
      const tail = new Tail(limit);
      for (const chunk of chunks) tail.push(chunk);
      const all = Buffer.concat(chunks);
      expect(tail.isCut).toBe(all.length > limit);
      const end = all.length > limit ? all.subarray(all.length - limit) : all;
      expect(end.toString('utf8').endsWith(tail.text())).toBe(true);
      expect(end.length - Buffer.byteLength(tail.text().replaceAll('\uFFFD', '?'))).toBeLessThanOrEqual(end.length);
    }),
  );
});

test('a tail of ASCII has exactly its limit', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 30 })), fc.integer({ min: 1, max: 50 }), (texts, limit) => {
      const tail = new Tail(limit);
      for (const text of texts) tail.push(Buffer.from(text));
      expect(tail.text()).toBe(texts.join('').slice(-limit));
    }),
  );
});

test('a tail does not begin inside a character', () => {
  const tail = new Tail(5);
  tail.push(Buffer.from('ééé'));
  expect(tail.text()).toBe('éé');
});

test('lines are the same however they were split into chunks, each cut to its limit', () => {
  fc.assert(
    fc.property(Chunks, fc.integer({ min: 1, max: 30 }), (chunks, limit) => {
      const lines: string[] = [];
      const splitter = new LineSplitter(limit, (line) => lines.push(line));
      for (const chunk of chunks) splitter.push(chunk);
      splitter.end();
      const all = Buffer.concat(chunks).toString('latin1').split('\n');
      if (all.at(-1) === '') all.pop();
      expect(lines).toEqual(all.map((line) => Buffer.from(line.slice(0, limit), 'latin1').toString('utf8')));
    }),
  );
});

test('many small chunks cost as much as few large ones', () => {
  const tail = new Tail(1024);
  const splitter = new LineSplitter(1024, () => undefined);
  const byte = Buffer.from('x');
  const startedAt = performance.now();
  for (let i = 0; i < 2_000_000; i++) {
    tail.push(byte);
    splitter.push(byte);
  }
  expect(tail.text()).toBe('x'.repeat(1024));
  // Takes 0.2 s on an idle machine; quadratic work would take minutes.
  expect(performance.now() - startedAt).toBeLessThan(15_000);
});
