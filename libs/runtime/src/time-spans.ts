/** From `from` to just before `to`, ms. */
export interface TimeSpan {
  readonly from: number;
  readonly to: number;
}

/** Spans that begin in ascending order, with those that touch made one, cut to `within`. */
export function joinSpans(spans: Iterable<TimeSpan>, within: TimeSpan): readonly TimeSpan[] {
  const joined: TimeSpan[] = [];
  let open: TimeSpan | undefined;
  for (const span of spans) {
    if (span.from >= within.to) break;
    const cut = { from: Math.max(span.from, within.from), to: Math.min(span.to, within.to) };
    if (cut.from >= cut.to) continue;
    if (open !== undefined && cut.from <= open.to) {
      open = { from: open.from, to: Math.max(open.to, cut.to) };
      continue;
    }
    if (open !== undefined) joined.push(open);
    open = cut;
  }
  if (open !== undefined) joined.push(open);
  return joined;
}

/** What is in any of the lists. */
export function uniteSpans(lists: readonly (readonly TimeSpan[])[], within: TimeSpan): readonly TimeSpan[] {
  return joinSpans(
    lists.flat().toSorted((a, b) => a.from - b.from),
    within,
  );
}

/** What is in `spans` and not in `without`. Both are joined. */
export function subtractSpans(spans: readonly TimeSpan[], without: readonly TimeSpan[]): readonly TimeSpan[] {
  const left: TimeSpan[] = [];
  let next = 0;
  for (const span of spans) {
    let { from } = span;
    while ((without[next]?.to ?? Number.POSITIVE_INFINITY) <= from) next += 1;
    for (let index = next; from < span.to; index += 1) {
      const taken = without[index];
      if (taken === undefined || taken.from >= span.to) {
        left.push({ from, to: span.to });
        break;
      }
      if (taken.from > from) left.push({ from, to: taken.from });
      from = taken.to;
    }
  }
  return left;
}
