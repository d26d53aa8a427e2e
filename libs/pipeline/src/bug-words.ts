import type { PipelineDeps } from './deps.ts';

/** What people are told of a commit on which Floe failed by its own fault. A builder that is a process of its own has a log of its own. */
export function bugWords(what: 'it' | 'this commit', { ownEvaluations }: Pick<PipelineDeps, 'ownEvaluations'>): string {
  return `Floe failed on ${what} because of a bug: see the log of ${ownEvaluations === undefined ? 'floe-server' : 'floe-builder'}`;
}
