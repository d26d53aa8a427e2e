import { printableLine } from '@floe/model';
import type { CacheCollected } from '@floe/protocol';
import { ago, bytesInWords, count } from '@floe/views';
import { formatTable, type View } from './terminal.ts';

/** So many lines of what is wrong. */
const NAMED = 20;

/** What was removed, how much space that gives, and what is wrong in the cache. */
export function formatCollected(collected: CacheCollected, view: View): string {
  const { isDryRun, removed, removedCount, removedBytes, leftovers, leftoverBytes, kept, keptBytes, needed, incomplete, unreadable, elsewhere } =
    collected;
  const rows = removed.map(({ path, usedAt, bytes }) => [path, ago(usedAt, view.now), bytesInWords(bytes)].map((text) => ({ text })));
  const more = removedCount - removed.length;
  const verb = isDryRun ? 'Would remove' : 'Removed';
  const files = leftovers === 0 ? '' : `, with ${count(leftovers, 'file')} that publications left behind`;
  const left = `${count(kept, 'path stays', 'paths stay')} (${bytesInWords(keptBytes)}), ${needed} of them needed.`;
  const lines = [
    ...(rows.length === 0 ? [] : [formatTable(['PATH', 'NEEDED LAST', 'SIZE'], rows, view, ['PATH'])]),
    ...(more === 0 ? [] : [`and ${more} more`]),
    removedCount === 0 && leftovers === 0
      ? `There is nothing to remove. ${left}`
      : `${verb} ${count(removedCount, 'path')}${files}: ${bytesInWords(removedBytes + leftoverBytes)}. ${left}`,
    ...problem(incomplete, 'needed, and not whole in the cache: publish it again with the next commit that changes it'),
    ...problem(unreadable, 'cannot be read, so files that may belong to it were left: remove it while the server is stopped'),
    ...(elsewhere === null ? [] : [`Hosts download from ${printableLine(elsewhere)}: nothing was removed there.`]),
  ];
  return lines.join('\n');
}

function problem(paths: readonly string[], what: string): string[] {
  const named = paths.slice(0, NAMED).map((path) => `${printableLine(path)}: ${what}`);
  return paths.length > NAMED ? [...named, `and ${paths.length - NAMED} more`] : named;
}
