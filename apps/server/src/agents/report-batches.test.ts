import type { HostName } from '@floe/model';
import type { Report } from '@floe/protocol';
import { silentLogger, systemClock, type Clock } from '@floe/runtime';
import type { PlainStore } from '@floe/store';
import { eventually } from '@floe/testkit';
import { expect, test } from 'vitest';
import { ReportWriter } from './report-writer.ts';

/** A writer whose waits end when the test says so, and the sizes of what it stored. */
function writerOf() {
  const waits: { readonly ms: number; readonly end: () => void }[] = [];
  const clock: Clock = Object.assign(Object.create(systemClock) as Clock, {
    sleep: async (ms: number) => await new Promise<void>((end) => void waits.push({ ms, end })),
  });
  const batches: number[] = [];
  const reports = {
    async store(batch: readonly unknown[]) {
      batches.push(batch.length);
      return await Promise.resolve(new Map());
    },
  };
  const writer = new ReportWriter({
    // The part of it that is used.
    store: { reports } as unknown as PlainStore,
    clock,
    logger: silentLogger,
    onStored: () => undefined,
  });
  let seq = 0;
  return {
    batches,
    add(count: number): void {
      for (let each = 0; each < count; each += 1) {
        seq += 1;
        writer.add({ host: `host-${seq}` as HostName, report: { type: 'report', seq } as Report, stored: () => undefined });
      }
    },
    /** Ends the wait that it is in, and resolves to how long that would have been. */
    async waited(): Promise<number> {
      const wait = await eventually('it waits', () => waits.shift());
      wait.end();
      return wait.ms;
    },
    /** Resolves when nothing is left to be stored. */
    async stored(): Promise<void> {
      await eventually('all is stored', () => (writer.waiting === 0 ? true : undefined));
    },
  };
}

test('while many report at once they are gathered for longer, and a single report is not', async () => {
  const writing = writerOf();
  writing.add(1);
  expect(await writing.waited()).toBe(15);
  await writing.stored();
  writing.add(50);
  expect(await writing.waited()).toBe(15);
  await writing.stored();
  writing.add(300);
  expect(await writing.waited()).toBe(100);
  await writing.stored();
  writing.add(3);
  expect(await writing.waited()).toBe(100);
  await writing.stored();
  writing.add(1);
  expect(await writing.waited()).toBe(15);
  await writing.stored();
  expect(writing.batches).toEqual([1, 50, 300, 3, 1]);
});
