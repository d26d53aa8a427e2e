import type { Revision } from '@floe/store';
import type { ClearedRevision } from '../clearance.ts';

/** In a test that stands in for the steps before a release. */
export function asCleared(revision: Revision): ClearedRevision {
  return revision as ClearedRevision;
}
