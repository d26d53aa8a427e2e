import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EventTooLongError, readEvents, type ServerEvent } from './event-stream.ts';

async function eventsOf(
  body: Iterable<Uint8Array>,
  { onBytes = (): void => undefined, maxEventChars }: { onBytes?: () => void; maxEventChars?: number } = {},
): Promise<readonly ServerEvent[]> {
  const events: ServerEvent[] = [];
  for await (const event of readEvents(ReadableStream.from(body), onBytes, maxEventChars)) events.push(event);
  return events;
}

const STREAM =
  ': ping\n\nevent: snapshot\ndata: {"a":1}\n\n: ping\r\n\r\nevent: change\r\ndata: grün\r\ndata:two\r\n\r\ndata\n\nevent: lost\ndata: never ended\n';
const BYTES = new TextEncoder().encode(STREAM);
const EVENTS = [
  { name: 'snapshot', data: '{"a":1}' },
  { name: 'change', data: 'grün\ntwo' },
  { name: 'message', data: '' },
];

describe('an event stream', () => {
  test('yields the same events however its bytes are split, and no incomplete event', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(BYTES.length)), async (cuts) => {
        const ends = [...cuts.toSorted((a, b) => a - b), BYTES.length];
        expect(await eventsOf(ends.map((end, index) => BYTES.subarray(ends[index - 1] ?? 0, end)))).toEqual(EVENTS);
      }),
    );
  });

  test('reports every byte, including pings', async () => {
    let pieces = 0;
    await eventsOf([new TextEncoder().encode(': ping\n\n'), new TextEncoder().encode(':')], { onBytes: () => (pieces += 1) });
    expect(pieces).toBe(2);
  });

  test('may contain a snapshot of thousands of hosts in one line that arrives in small pieces', async () => {
    const line = `data: ${'x'.repeat(20_000_000)}\n\n`;
    const bytes = new TextEncoder().encode(line);
    const pieces = Array.from({ length: Math.ceil(bytes.length / 4096) }, (_, index) => bytes.subarray(index * 4096, (index + 1) * 4096));
    const startedAt = performance.now();
    expect((await eventsOf(pieces))[0]?.data).toHaveLength(20_000_000);
    // Scanning the whole line for each piece would take minutes.
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  test.each([
    ['a line', 'data: without an end '.repeat(500)],
    ['an event', 'data: and another line\n'.repeat(500)],
    ['an event of empty lines', 'data:\n'.repeat(2_000)],
    ['an event of empty lines, with pings between', 'data:\n: ping\n'.repeat(1_000)],
    ['a field that nobody knows', 'other: without an end '.repeat(500)],
    ['a stream of fields that nobody knows', 'other: and another\n'.repeat(500)],
    ['lines that end with carriage returns', 'data:\r'.repeat(2_000)],
  ])('that never ends %s is abandoned before it fills the memory', async (_name, text) => {
    const piece = new TextEncoder().encode(text);
    let sentBytes = 0;
    function* endless(): Generator<Uint8Array> {
      for (; sentBytes < 100_000_000; sentBytes += piece.length) yield piece;
    }
    await expect(eventsOf(endless(), { maxEventChars: 1_000_000 })).rejects.toThrow(EventTooLongError);
    expect(sentBytes).toBeLessThan(1_100_000);
  });
});
