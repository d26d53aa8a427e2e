import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runLoops } from './loops.ts';

test('loops run until they are stopped or one fails, and the first failure is thrown when all have ended', async () => {
  const ends = fc.constantFrom('when stopped', 'by itself', 'fails');
  await fc.assert(
    fc.asyncProperty(fc.array(ends, { minLength: 1, maxLength: 5 }), async (each) => {
      const stopping = new AbortController();
      let left = each.length;
      const loop = async (how: (typeof each)[number], name: number, running: AbortSignal): Promise<void> => {
        if (how === 'when stopped' && !running.aborted) await new Promise((resolve) => running.addEventListener('abort', resolve, { once: true }));
        await Promise.resolve();
        left -= 1;
        if (how === 'fails') throw new Error(`loop ${name}`);
      };
      const run = runLoops((running) => each.map(async (how, name) => await loop(how, name, running)), stopping.signal);
      const failed = each.indexOf('fails');
      if (failed === -1) {
        stopping.abort();
        await run;
      } else await expect(run).rejects.toThrow(`loop ${failed}`);
      expect(left).toBe(0);
    }),
  );
});
