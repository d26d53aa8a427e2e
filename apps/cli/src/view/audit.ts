import type { AuditEntryView } from '@floe/protocol';
import { firstLine, shortSha, words } from '@floe/views';
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

function refusedWords(action: string, count: number): string {
  return `${words(action)}: refused${count === 1 ? '' : ` ${count} times`}`;
}
