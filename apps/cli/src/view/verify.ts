import { count } from '@floe/views';
import type { Finding } from '../verify/findings.ts';
import type { View } from './terminal.ts';

export interface Checked {
  readonly at: number | null;
  readonly lines: number;
  readonly releases: number;
  readonly hosts: number;
  readonly reports: number;
  readonly auditEntries: number;
  /** Null: no repository was looked at. */
  readonly commits: number | null;
  readonly bent: { readonly count: number; readonly named: readonly Finding[] };
  readonly notes: { readonly count: number; readonly named: readonly Finding[] };
}

export function formatChecked(checked: Checked, { style }: View): string {
  const { at, lines, releases, hosts, reports, auditEntries, commits, bent, notes } = checked;
  const parts: string[] = [];
  if (bent.count > 0) parts.push([style('bad', 'Bent'), ...named(bent)].join('\n'));
  if (notes.count > 0) parts.push([style('busy', 'Notes'), ...named(notes)].join('\n'));
  const seen = [
    count(lines, 'line'),
    count(releases, 'release'),
    ...(commits === null ? [] : [`${count(commits, 'commit')} in the repository`]),
    count(hosts, 'host'),
    `${count(reports, 'report')} signed by hosts`,
    `${auditEntries} chained entries of the audit log`,
  ].join(', ');
  const verdict = bent.count === 0 ? style('good', 'whole') : style('bad', `${bent.count} bent`);
  const made = at === null ? '' : ` of ${new Date(at).toISOString()}`;
  parts.push(`${verdict}: the export${made} has ${seen}`);
  return parts.join('\n\n');
}

function named({ count: all, named: findings }: Checked['bent']): string[] {
  const rows = findings.map(({ line, what }) => `  ${line === undefined ? '' : `line ${line}: `}${what}`);
  return all > findings.length ? [...rows, `  … and ${all - findings.length} more`] : rows;
}
