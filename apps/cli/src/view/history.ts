import { printableLine } from '@floe/model';
import {
  ago,
  commitWords,
  firstLine,
  shortHash,
  shortSha,
  switchTone,
  tookText,
  withShortPaths,
  words,
  type Failure,
  type Switch,
} from '@floe/views';
import { clockTime } from './clock-time.ts';
import { formatBlock, formatTable, type Cell, type View } from './terminal.ts';
import { cutToWidth } from './width.ts';

const SUBJECT_COLUMNS = 40;

/** One line per switch. */
export function formatHistory(switches: readonly Switch[], view: View): string {
  const rows = switches.map((each): Cell[] => [
    { text: clockTime(each.at) },
    { text: words(each.state), tone: switchTone(each) },
    { text: each.commit === null ? '' : shortSha(each.commit.commit) },
    { text: cutToWidth(printableLine(each.commit?.subject ?? ''), SUBJECT_COLUMNS) },
    { text: each.toplevel === null ? '' : shortHash(each.toplevel) },
    { text: tookText(each) ?? '' },
    { text: withShortPaths(firstLine(each.detail ?? '')) },
  ]);
  return formatTable(['WHEN', 'CAME TO', 'COMMIT', 'SUBJECT', 'SYSTEM', 'TOOK', 'WHY'], rows, view, ['SUBJECT', 'SYSTEM', 'TOOK']);
}

/** Each failed switch with its reason and the end of its log. */
export function formatFailures(failures: readonly (Failure & { readonly log: string | null })[], { now, style }: View): string {
  const blocks = failures.map(({ state, at, commit, toplevel, reason, log }) => {
    const about = commit === null ? (toplevel ?? 'what it could not read') : commitWords(commit);
    const head = `${style('bad', words(state))}  ${printableLine(about)}  ${style('quiet', `${clockTime(at)} (${ago(at, now)})`)}`;
    const parts = [head, formatBlock(reason ?? 'no reason was reported')];
    parts.push(log === null ? style('quiet', '  No log of it is kept.') : `${style('strong', 'End of the log')}\n${formatBlock(log)}`);
    return parts.join('\n');
  });
  return blocks.join('\n\n');
}
