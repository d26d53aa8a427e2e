import type { AdmitAnswer } from '@floe/model';
import { expect, test } from 'vitest';
import { heldWords } from './why-words.ts';

const RULES = ['freeze', 'label-stop', 'pause', 'ring', 'window', 'newer', 'in-flight'] as const satisfies readonly Extract<
  AdmitAnswer,
  { kind: 'wait' }
>['for'][];

test.each(RULES)('a host that waits for %s is told so in a sentence, with what ends it', (rule) => {
  expect(heldWords(rule)).toMatch(/^[^;]+ [^;]+; (?:to |it goes |floe )[^;]+$/);
  expect(heldWords(rule)).not.toMatch(/freeze|label-stop|in-flight/);
});
