import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LogLimit } from './log-limit.ts';
import { createLogger } from './logger.ts';

const MINUTE_MS = 60_000;

function loggerAt(now: () => number): { lines: Record<string, unknown>[]; logger: ReturnType<typeof createLogger> } {
  const lines: Record<string, unknown>[] = [];
  const write = (line: string): void => void lines.push(JSON.parse(line) as Record<string, unknown>);
  return { lines, logger: createLogger({ level: 'info', write, now, limit: new LogLimit() }) };
}

describe('a flood of one message', () => {
  test('ends with a line that says so, does not affect other messages, and is counted in the next line of that message', () => {
    let now = 0;
    const { lines, logger } = loggerAt(() => now);
    for (let index = 0; index < 1000; index += 1) logger.child({ index }).warn('a webhook was refused', { index });
    expect(lines).toHaveLength(200);
    expect(lines.at(-1)).toHaveProperty('note');
    logger.error('the database is away');
    expect(lines.at(-1)).toMatchObject({ message: 'the database is away' });
    now += MINUTE_MS;
    logger.warn('a webhook was refused');
    expect(lines.at(-1)).toMatchObject({ message: 'a webhook was refused', leftOut: 800 });
  });

  test('writes a bounded number of lines in any minute, whatever the clock does', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 3000 }), (steps) => {
        let now = 0;
        const written: number[] = [];
        const limit = new LogLimit();
        for (const step of steps) {
          now += step;
          if (limit.allow('a message', now).kind !== 'omit') written.push(now);
        }
        // A window may begin anywhere, so that any minute meets at most two of them.
        for (const [index, at] of written.entries()) expect((written[index + 400] ?? Infinity) - at).toBeGreaterThanOrEqual(MINUTE_MS);
      }),
    );
  });

  test('is not suppressed for long when the clock was set back', () => {
    let now = 365 * 24 * 3600_000;
    const { lines, logger } = loggerAt(() => now);
    for (let index = 0; index < 300; index += 1) logger.warn('a webhook was refused');
    now = 0;
    logger.warn('a webhook was refused');
    expect(lines.at(-1)).toMatchObject({ leftOut: 100 });
  });

  test('of ever new messages is bounded, too, in lines and in memory, and known messages are still written', () => {
    const limit = new LogLimit();
    expect(limit.allow('the server listens', 0).kind).toBe('write');
    const written = Array.from({ length: 50_000 }, (_, index) => limit.allow(`what a stranger said: ${index}`, index / 1_000).kind).filter(
      (kind) => kind !== 'omit',
    );
    expect(written.length).toBeLessThan(1_500);
    expect(limit.allow('the server listens', 60).kind).toBe('write');
    // A minute later there is room again.
    expect(limit.allow('another message', 2 * MINUTE_MS).kind).toBe('write');
  });
});
