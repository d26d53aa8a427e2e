import type { HostView } from '@floe/protocol';
import { shortSha } from './text.ts';

type EndedTrial = Pick<NonNullable<HostView['lastTrial']>, 'commit' | 'by' | 'result' | 'hasFailed'>;

/** How a trial ended, in the words of the machine or of who ended it: the same on the page, on the command line, and in the log of decisions. */
export function trialEndWords({ commit, by, result, hasFailed }: EndedTrial): string {
  const why = result === '' ? '' : `: ${result}`;
  return `the trial of ${shortSha(commit)}, which ${by} asked for, ${hasFailed ? 'failed' : 'is over'}${why}`;
}
