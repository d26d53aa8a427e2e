import { printableLine } from '@floe/model';
import type { NotificationTargetView, NotificationTested } from '@floe/protocol';
import { ago, duration, kindsInWords } from '@floe/views';
import { formatTable, type Cell, type View } from './terminal.ts';

/** One line per target. */
export function formatTargets(targets: readonly NotificationTargetView[], view: View): string {
  const rows = targets.map(({ name, kind, destination, events, lastSentAt, problem }): Cell[] => [
    { text: name },
    { text: kind },
    { text: destination },
    problem === null
      ? { text: lastSentAt === null ? 'never' : ago(lastSentAt, view.now) }
      : { text: `failing for ${duration(Math.max(0, view.now - problem.since))}: ${problem.message}`, tone: 'bad' },
    { text: kindsInWords(events) },
  ]);
  return formatTable(['NAME', 'KIND', 'TO', 'SENT', 'TOLD OF'], rows, view, []);
}

/** What became of a test. */
export function formatTested(name: string, { isSent, answer, tookMs }: NotificationTested): string {
  const what = printableLine(answer).trim();
  return isSent ? `${name} took the message in ${duration(tookMs)}: ${what}` : `The message was not sent: ${name} ${what}`;
}
