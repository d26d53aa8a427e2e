import type { NotificationEvent, NotificationKind } from '@floe/model';
import { revisionWords } from './revision-words.ts';
import { capitalised, count, shortSha, words } from './text.ts';

/** What somebody is told. The title consists of our words, names of hosts and commits; the lines may contain anything. */
export interface NotificationWords {
  readonly title: string;
  readonly lines: readonly string[];
}

/** What happened, for somebody who does not look at the page. */
export function notificationWords(event: NotificationEvent): NotificationWords {
  return { title: titleOf(event), lines: [event.subject ?? '', event.reason ?? ''].filter((line) => line !== '') };
}

function titleOf({ kind, commit, host, state }: NotificationEvent): string {
  const sha = commit === undefined ? 'a commit' : `commit ${shortSha(commit)}`;
  switch (kind) {
    case 'commit-held':
      return capitalised(`${sha} is held`);
    case 'commit-failed':
      return capitalised(`${sha} ${state === undefined ? 'failed' : revisionWords({ state, isHeld: false })}`);
    case 'host-rolled-back':
      return `${host ?? 'A host'} rolled back`;
    case 'host-failed':
      return `${host ?? 'A host'} failed`;
    case 'host-lost':
      return `${host ?? 'A host'} is lost`;
    case 'host-refused':
      return `A refused agent asks to be ${host ?? 'a host'}`;
    case 'rollout-paused':
      return `The rollout of ${sha} is paused`;
    case 'rollout-waits':
      return `The rollout of ${sha} waits for approval`;
    case 'rollout-hotfix':
      return `${capitalised(sha)} is a hotfix`;
    case 'break-glass':
      return `${capitalised(sha)} is to pass below the policy floor`;
    case 'rollout-complete':
      return `The rollout of ${sha} is complete`;
    case 'server-problem':
      return 'The server itself has a problem';
  }
}

/** Many events in one message. */
export function summaryWords(events: readonly NotificationEvent[]): NotificationWords {
  const lines = events.map((event) => {
    const { title, lines: rest } = notificationWords(event);
    return rest.length === 0 ? title : `${title}: ${rest.join(': ')}`;
  });
  return { title: `${count(events.length, 'event')} since the last message`, lines };
}

/** The message of `floe notify test`. */
export function testWords(target: string, by: string): NotificationWords {
  return { title: `Test of the notification target ${target}`, lines: [`${by} sent it with: floe notify test ${target}`] };
}

/** Of what a target is told: "commit held, rollout paused". */
export function kindsInWords(kinds: readonly NotificationKind[]): string {
  if (kinds.length === 0) return 'what the policy names it for';
  return kinds.map(words).join(', ');
}
