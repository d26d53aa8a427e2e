import { personOf } from './approvals.ts';
import type { Word } from './course.ts';

/** How many administrators still have to ask for the same. */
export function missingPeople(words: readonly Word[], needed: 1 | 2): number {
  const people = new Set(words.filter(({ role }) => role === 'administrator').map(personOf));
  return Math.max(0, needed - people.size);
}

/** Whoever asked before and asks again. */
export function hasAsked(words: readonly Word[], by: Pick<Word, 'by' | 'person'>): boolean {
  return words.some((each) => personOf(each) === personOf(by));
}
