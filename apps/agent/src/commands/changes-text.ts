import { printable } from '@floe/model';
import type { Changes } from '../local/protocol.ts';
import type { Words } from '../text/words/en.ts';
import { fill } from '../text/words/languages.ts';

interface ChangesReader {
  readonly words: Words;
  /** With the store paths. */
  readonly isVerbose: boolean;
}

/** The text of `floe-agent changes`. */
export function changesText(changes: Changes, { words: { changes: texts }, isVerbose }: ChangesReader): string {
  const { subject, before, after, packages, addedCount, removedCount, rebuiltCount, sizeBeforeBytes, sizeAfterBytes } = changes;
  const cells = packages.map(
    ({ name, before: was, after: is, sizeDeltaBytes }) => [name, versionChange(was, is, texts), sizeDelta(sizeDeltaBytes)] as const,
  );
  const widths = [0, 1].map((index) => Math.max(0, ...cells.map((row) => row[index]?.length ?? 0)));
  const sizes = Math.max(0, ...cells.map(([, , size]) => size.length));
  const lines = cells.map(
    ([name, versions, size]) => `  ${name.padEnd(widths[0] ?? 0)}  ${versions.padEnd(widths[1] ?? 0)}  ${size.padStart(sizes)}`,
  );
  const changed = packages.length - addedCount - removedCount;
  const counts = [
    [changed, texts.countChanged],
    [addedCount, texts.countAdded],
    [removedCount, texts.countRemoved],
    [rebuiltCount, texts.countRebuilt],
  ] as const;
  const all = counts.flatMap(([count, text]) => (count === 0 ? [] : [fill(text, { count: String(count) })])).join(', ') || texts.same;
  const [was, is, delta] = [bytes(sizeBeforeBytes), bytes(sizeAfterBytes), sizeDelta(sizeAfterBytes - sizeBeforeBytes)];
  const width = Math.max(texts.from.length, texts.to.length);
  const paths = [`  ${texts.from.padEnd(width)} ${before}`, `  ${texts.to.padEnd(width)} ${after}`];
  return printable(
    [
      texts[subject],
      ...(isVerbose ? paths : []),
      '',
      ...lines,
      ...(lines.length === 0 ? [] : ['']),
      fill(texts.sum, { counts: all, before: was, after: is, delta }),
      '',
    ].join('\n'),
  );
}

function versionChange(before: readonly string[], after: readonly string[], texts: Words['changes']): string {
  const named = (versions: readonly string[]): string => versions.map((version) => version || texts.noVersion).join(', ');
  if (before.length === 0) return fill(texts.added, { versions: named(after) });
  if (after.length === 0) return fill(texts.removed, { versions: named(before) });
  return named(before) === named(after) ? named(after) : `${named(before)} → ${named(after)}`;
}

const UNITS = ['kB', 'MB', 'GB', 'TB'] as const;

/** In decimal units: "3.1 MB". */
export function bytes(count: number): string {
  let value = Math.abs(count) / 1000;
  let unit = 0;
  while (value >= 999.95 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toFixed(1)} ${UNITS[unit]}`;
}

function sizeDelta(count: number): string {
  return `${count < 0 ? '-' : '+'}${bytes(count)}`;
}
