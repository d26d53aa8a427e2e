import { HANDOVER_STATES, MAX_HANDOVER_HOSTS } from '@floe/model';
import * as v from 'valibot';
import { RevisionView } from './api.ts';
import { Counter, list, prose, Timestamp, word } from './bounds.ts';
import { CommitSha, HostName, StorePath } from './ids.ts';
import { RolloutAnswer } from './rollout-view.ts';

/** `POST /api/releases`: the systems that somebody built elsewhere. `commit`: of the tracked branch, from which they were built. */
export const ReleaseSubmission = v.strictObject({
  systems: v.pipe(list(v.strictObject({ host: HostName, storePath: StorePath }), MAX_HANDOVER_HOSTS), v.minLength(1, 'there is no host in it')),
  commit: v.optional(CommitSha),
});
export type ReleaseSubmission = v.InferOutput<typeof ReleaseSubmission>;

/** Its answer. `repeated`: the same was submitted before, and is still the newest. */
export const ReleaseSubmitted = v.object({ ...RolloutAnswer.entries, id: word(64) });
export type ReleaseSubmitted = v.InferOutput<typeof ReleaseSubmitted>;

/** `GET /api/releases/:id`: what comes of it. */
export const SubmittedReleaseView = v.object({
  id: word(64),
  state: v.picklist(HANDOVER_STATES),
  by: prose(200),
  at: Timestamp,
  commit: v.nullable(CommitSha),
  hosts: Counter,
  /** Why it was refused, or what it waits for. */
  result: prose(),
  /** As soon as it is one: with its rollout, and without its hosts, which are many and are asked for again and again. */
  revision: v.nullable(v.omit(RevisionView, ['hosts'])),
});
export type SubmittedReleaseView = v.InferOutput<typeof SubmittedReleaseView>;
