import type { NotificationKind } from '@floe/model';
import { words } from './text.ts';

/** What somebody is told. The title consists of our words, names of hosts and commits; the lines may contain anything. */
export interface NotificationWords {
  readonly title: string;
  readonly lines: readonly string[];
}

/** The message of `floe notify test`. */
export function testWords(target: string, by: string): NotificationWords {
  return { title: `Test of the notification target ${target}`, lines: [`${by} sent it with: floe notify test ${target}`] };
}

/** Of what a target is told: "commit held, rollout paused". */
export function kindsInWords(kinds: readonly NotificationKind[]): string {
  return kinds.map(words).join(', ');
}
