import type { HostName, RolloutPause, StorePath } from '@floe/model';
import { expect, test } from 'vitest';
import { describePause } from './describe-course.ts';
import { pauseInWords } from './rollout-words.ts';

const host = (name: string): HostName => name as HostName;
const failure = (name: string, reason: string) => ({ host: host(name), toplevel: `/nix/store/${'a'.repeat(32)}-${name}` as StorePath, reason });

test('a pause says in one line what it is for: who failed and why, who is missing, what a probe answered, and who paused', () => {
  const failed = (count: number, ...failures: readonly ReturnType<typeof failure>[]): RolloutPause => ({ cause: 'failures', count, failures });
  expect(describePause(failed(1, failure('web-1', 'the check web did not pass')))).toBe('1 host failed: web-1 (the check web did not pass)');
  expect(describePause(failed(2, failure('web-1', ''), failure('web-2', 'x')))).toBe('2 hosts failed: web-1, web-2');
  const deadline = { cause: 'deadline', untried: [] } as const;
  expect(describePause({ ...deadline, missing: 1, present: 0, eligible: 3 })).toBe('none of its 3 hosts was there until its deadline');
  expect(describePause({ ...deadline, missing: 2, present: 1, eligible: 3 })).toBe(
    'its deadline has passed, and 2 hosts more must be seen to run it',
  );
  expect(describePause({ cause: 'freeze', by: 'ada', reason: 'holidays' })).toBe('ada paused all rollouts: holidays');
});

test('who failed is told with the failing check and the last ten lines of its log, and who failed since without one', () => {
  const log = Array.from({ length: 30 }, (_, line) => `line ${line}`).join('\n');
  const [first, second, third, later] = pauseInWords({
    failures: [
      { host: host('web-1'), reason: 'the check web did not pass', log: `${log}\n` },
      { host: host('web-2'), reason: 'web.service failed: line 1', log: 'line 1' },
      { host: host('web-3'), reason: '', log: null },
    ],
    later: [{ host: host('web-4'), reason: 'a unit failed' }],
  });
  expect(first?.text.split('\n')).toEqual(['the check web did not pass', ...Array.from({ length: 10 }, (_, line) => `| line ${line + 20}`)]);
  // Nothing twice.
  expect(second?.text).toBe('web.service failed: line 1');
  expect(third?.text).toBe('no reason was reported');
  expect(later).toEqual({ host: 'web-4', text: 'failed since it was paused: a unit failed' });
});
