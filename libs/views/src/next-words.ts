import { shortSha } from './text.ts';

/** What a published revision waits for before its rollout begins. */
export interface NextWaits {
  readonly for: 'train' | 'same';
  /** The commit whose rollout hosts follow. */
  readonly after: string | null;
  /** Until then at the latest; null: until that one is over. */
  readonly until: number | null;
}

/** "waits for the train of 1a2b3c4d5e, until 14:20 at the latest" */
export function nextWords({ for: what, after, until }: NextWaits, time: (at: number) => string): string {
  const of = after === null ? 'the one before it' : shortSha(after);
  if (what === 'same') return `changes no host any further than ${of}, and is complete with it`;
  return `waits for the train of ${of}${until === null ? '' : `, until ${time(until)} at the latest`}`;
}

/** What a commit waits for before it is evaluated: "waits for 1f0c2ab4d5 to be finished, until 03:27 at the latest" */
export function olderWords({ after, until }: { readonly after: string; readonly until: number }, time: (at: number) => string): string {
  return `waits for ${shortSha(after)} to be finished, until ${time(until)} at the latest`;
}

/** What has that commit evaluated at once. */
export function hotfixCommand(commit: string): string {
  return `floe rollout hotfix ${commit} --reason "…"`;
}
