import type { Loosening } from '../rollout/facts.ts';
import { weakenings, type PolicyInForce } from '../rollout/weaker.ts';

export const loosened = (...texts: readonly string[]): readonly Loosening[] => texts.map((text) => ({ text, id: `id of ${text}` }));

/** How `after` is weaker than `before`, in words. */
export const weakeningWords = (before: PolicyInForce, after: PolicyInForce): readonly string[] => weakenings(before, after).map(({ text }) => text);
