import { isEndedRevision, type RolloutState } from '@floe/model';
import { SubmittedReleaseView } from '@floe/protocol';
import { isFloeError } from '@floe/runtime';
import { revisionWords, shortSha } from '@floe/views';
import type { ApiClient } from './api-client.ts';
import { viewOf, type Cli } from './cli.ts';
import { formatRollout } from './view/rollout.ts';

const LOOK_EVERY_MS = 1_500;
/** To publish large systems takes longer: it goes on without anybody who waits. */
const WAIT_MS = 30_000;

/** What has come of what was submitted. */
export interface ReleaseNews {
  /** `waiting`: nothing final within the time that somebody waits. `released`: it is a revision; with `--wait`: its rollout is complete. */
  readonly kind: 'released' | 'failed' | 'waiting';
  readonly text: string;
  readonly seen: SubmittedReleaseView;
}

/** What to do after each end that is none: whoever reads it in the log of a job may know nothing of Floe. */
const NEXT = {
  refused: 'No host was told anything. Mend what is named, and submit again.',
  PAUSED:
    'No other host is told it meanwhile. "floe rollout" says why, and what to do: once a person resumes it, it goes on without this job, so do not repeat the job.',
  ABORTED: 'A person ended it, and the others are not told it. Submit or push a fix: that begins at the first ring.',
  SUPERSEDED: 'There is nothing to do: hosts get the newer one, and need no job of this one.',
} as const;

/**
 * Waits for what the server makes of a file, and says what it does meanwhile. `untilRolledOut`: until the rollout is over, which it shows at
 * each change; else until it is a revision, half a minute at most. A server that is away for a moment is asked again.
 */
export async function awaitRelease(cli: Cli, api: ApiClient, id: string, untilRolledOut: boolean): Promise<ReleaseNews> {
  const { clock, signal } = cli.deps;
  const until = clock.monotonic() + WAIT_MS;
  let noted = '';
  for (;;) {
    const seen = await look(cli, api, id);
    if (seen !== undefined) {
      const news = newsOf(seen, untilRolledOut);
      const shown = shownOf(cli, seen, untilRolledOut);
      if (shown.key !== noted && cli.options().json !== true && shown.text !== '') cli.out.note(shown.text);
      noted = shown.key;
      if (news !== undefined) return { ...news, seen };
      if (!untilRolledOut && clock.monotonic() >= until)
        return { kind: 'waiting', text: 'the server still publishes it: it goes on by itself', seen };
    }
    await clock.sleep(LOOK_EVERY_MS, signal);
    signal.throwIfAborted();
  }
}

/** Undefined: the server does not answer just now. */
async function look({ out }: Cli, api: ApiClient, id: string): Promise<SubmittedReleaseView | undefined> {
  try {
    return await api.get(`/api/releases/${id}`, SubmittedReleaseView);
  } catch (error) {
    if (!isFloeError(error) || !error.retryable) throw error;
    out.note(`${error.message}; trying again`);
    return undefined;
  }
}

/** Undefined: it goes on. */
function newsOf({ state, result, revision }: SubmittedReleaseView, untilRolledOut: boolean): Pick<ReleaseNews, 'kind' | 'text'> | undefined {
  if (state === 'REFUSED') return { kind: 'failed', text: `nothing is released:\n${result}\n${NEXT.refused}` };
  if (revision === null) return undefined;
  const { sequence, sha, error, rollout, supersededBy } = revision;
  const name = `revision #${sequence} (${shortSha(sha)})`;
  if (isEndedRevision(revision.state) && revision.state !== 'PUBLISHED')
    return {
      kind: 'failed',
      text: `${name} ${endWords(revision.state, supersededBy)}${error === null ? '' : `: ${error}`}\n${NEXT[revision.state === 'SUPERSEDED' ? 'SUPERSEDED' : 'refused']}`,
    };
  if (!untilRolledOut)
    return {
      kind: 'released',
      text: `${name} is ${revision.state === 'PUBLISHED' ? 'released' : 'taken in'}: see its rollout with floe rollout status`,
    };
  if (rollout === null) return undefined;
  if (rollout.state === 'COMPLETE') return { kind: 'released', text: `the rollout of ${name} is complete: ${rollout.description}` };
  if (rollout.state !== 'PAUSED' && rollout.state !== 'ABORTED' && rollout.state !== 'SUPERSEDED') return undefined;
  const words = stateWords(rollout.state, supersededBy);
  return { kind: 'failed', text: `the rollout of ${name} ${words}: ${rollout.description}\n${NEXT[rollout.state]}` };
}

function endWords(state: NonNullable<SubmittedReleaseView['revision']>['state'], by: string | null): string {
  return state === 'SUPERSEDED'
    ? `was superseded by ${by === null ? 'a newer commit' : shortSha(by)}`
    : state === 'REJECTED'
      ? 'was refused'
      : 'could not be published';
}

function stateWords(state: RolloutState, by: string | null): string {
  if (state === 'SUPERSEDED') return `was superseded by ${by === null ? 'a newer commit' : shortSha(by)}`;
  return state === 'PAUSED' ? 'is paused, and needs a person' : 'was aborted';
}

/** What is said while it goes on; `key` changes when there is news: time alone is none. */
function shownOf(cli: Cli, seen: SubmittedReleaseView, untilRolledOut: boolean): { readonly key: string; readonly text: string } {
  const { result, revision } = seen;
  if (revision === null) return { key: result, text: seen.state === 'WAITING' ? result : '' };
  const { rollout } = revision;
  if (!untilRolledOut) return { key: 'revision', text: '' };
  if (rollout === null) return { key: revision.state, text: `revision #${revision.sequence}: ${revisionWords(revision)}` };
  return { key: JSON.stringify(rollout), text: formatRollout({ ...revision, rollout }, 'submitter', viewOf(cli)) };
}
