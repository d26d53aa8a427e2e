import type { HostName } from '@floe/model';
import { expect, test } from 'vitest';
import { describePause, untriedWords } from './describe-course.ts';

const group = (...hosts: readonly string[]) => ({ hosts: hosts as readonly HostName[], count: hosts.length });

test('what nobody has run is named by its hosts', () => {
  expect(untriedWords([group('pi-1', 'pi-2')])).toBe('none of the 2 hosts with the same change (pi-1, pi-2) has run it');
  // A canary that is the only one with a commit.
  expect(untriedWords([group('ada')])).toBe('ada has not run a change that others are to get');
  expect(untriedWords([group('ada'), group('pi-1', 'pi-2')])).toBe('ada has not run a change that others are to get, and of 1 more group neither');
  const pause = { cause: 'deadline', missing: 0, present: 0, eligible: 3, untried: [group('ada')] } as const;
  expect(describePause(pause)).toBe('its deadline has passed, and ada has not run a change that others are to get');
});
