/** Of each function so many answers are kept. */
const MAX_KEPT = 1_000;

/**
 * A pure function that is slow, and is asked the same again and again: its answers, each found once for what it is asked by `keyOf`. `most`
 * answers are kept.
 */
export function kept<Of, Found>(find: (of: Of) => Found, keyOf: (of: Of) => unknown = (of) => of, most = MAX_KEPT): (of: Of) => Found {
  const answers = new Map<unknown, Found>();
  return (of) => {
    const key = keyOf(of);
    const known = answers.get(key);
    if (known !== undefined) return known;
    if (answers.size >= most) answers.clear();
    const found = find(of);
    answers.set(key, found);
    return found;
  };
}
