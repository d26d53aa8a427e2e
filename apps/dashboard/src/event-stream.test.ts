import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createEventParser } from './event-stream.ts';

const TEXT = 'event: snapshot\ndata: {"a":1}\n\n: ping\n\nevent: change\r\ndata: one\r\ndata: two\r\n\r\ndata:bare\n\n';
const EVENTS = [
  { name: 'snapshot', data: '{"a":1}' },
  { name: 'change', data: 'one\ntwo' },
  { name: 'message', data: 'bare' },
];

test('events are the same wherever the stream is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: TEXT.length })), (cuts) => {
      const parse = createEventParser();
      const ends = [...cuts.toSorted((a, b) => a - b), TEXT.length];
      const events = ends.flatMap((end, index) => parse(TEXT.slice(ends[index - 1] ?? 0, end)));
      expect(events).toEqual(EVENTS);
    }),
  );
});

test('an event without its blank line is not an event yet', () => {
  expect(createEventParser()('event: change\ndata: 1\n')).toEqual([]);
});
