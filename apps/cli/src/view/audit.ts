import type { AuditEntryView, AuditVerificationView } from '@floe/protocol';
import { printableLine } from '@floe/model';
import { count, firstLine, shortSha, words } from '@floe/views';
import { clockTime } from './clock-time.ts';
import { formatTable, type Cell, type View } from './terminal.ts';

/** One line per entry. */
export function formatAudit(entries: readonly AuditEntryView[], view: View): string {
  const rows = entries.map((entry): Cell[] => [
    { text: clockTime(entry.refused?.lastAt ?? entry.at) },
    { text: entry.actor },
    entry.refused === null ? { text: words(entry.action) } : { text: refusedWords(entry.action, entry.refused.count), tone: 'bad' },
    { text: /^[0-9a-f]{40}$/.test(entry.subject) ? shortSha(entry.subject) : entry.subject },
    { text: firstLine(entry.detail) },
  ]);
  return formatTable(['WHEN', 'ACTOR', 'ACTION', 'SUBJECT', 'DETAIL'], rows, view, []);
}

/** Whether the log is as it was written. */
export function formatVerification({ entries, heads, head, broken, unsigned }: AuditVerificationView, { style }: View): string {
  const compared = `${count(entries, 'entry', 'entries')}, ${count(heads, 'signed end')}`;
  const bad = [
    ...(broken === null ? [] : [`the entry ${broken.id} of ${clockTime(broken.at)} does not fit: ${printableLine(broken.description)}`]),
    ...(unsigned.length === 0 ? [] : [`not signed in the statement log: ${unsigned.map(printableLine).join(', ')}`]),
  ];
  if (bad.length > 0) return `${style('bad', 'The log does not hold')}: ${bad.join('; ')} (${compared})`;
  return head === null ? 'The log has no chained entries yet.' : `The log holds: ${compared}; its end is ${head.hash}`;
}

function refusedWords(action: string, times: number): string {
  return `${words(action)}: refused${times === 1 ? '' : ` ${times} times`}`;
}
