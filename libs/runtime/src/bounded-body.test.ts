import { describe, expect, it } from 'vitest';
import { readBoundedText } from './bounded-body.ts';

describe('readBoundedText', () => {
  it('reads an answer that fits, and one without a body', async () => {
    expect(await readBoundedText(new Response('früh'), 5)).toBe('früh');
    expect(await readBoundedText(new Response(null), 0)).toBe('');
  });

  it('stops reading an answer without end', async () => {
    let pulls = 0;
    let isCancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulls += 1;
        controller.enqueue(new Uint8Array(1024));
      },
      cancel() {
        isCancelled = true;
      },
    });
    await expect(readBoundedText(new Response(endless), 10_000)).rejects.toMatchObject({ code: 'ANSWER_TOO_LONG' });
    expect(pulls).toBeLessThan(20);
    expect(isCancelled).toBe(true);
  });

  it('holds no more than the bytes when they come one by one', async () => {
    let left = 1_000_000;
    const dripping = new ReadableStream<Uint8Array>({
      pull(controller) {
        left -= 1;
        // A view on a slab of its own, as Node's sockets give.
        controller.enqueue(new Uint8Array(new ArrayBuffer(1_024), 0, 1));
        if (left === 0) controller.close();
      },
    });
    const before = process.memoryUsage().arrayBuffers;
    expect(await readBoundedText({ body: dripping }, 2_000_000)).toHaveLength(1_000_000);
    globalThis.gc?.();
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(600_000_000);
  });
});
