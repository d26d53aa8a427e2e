const MAX_SUGGESTIONS = 3;
/** A longer word is no mistyped name, and the distance takes the product of both lengths. */
const MAX_CHARACTERS = 300;

/** Names within a typo, nearest first. */
export function nearest(name: string, names: readonly string[]): readonly string[] {
  if (name.length > MAX_CHARACTERS) return [];
  const limit = Math.max(1, Math.floor(name.length / 3));
  const lower = name.toLowerCase();
  return names
    .map((candidate) => ({ candidate, distance: distanceOf(lower, candidate.toLowerCase(), limit) }))
    .filter(({ distance }) => distance <= limit)
    .toSorted((a, b) => a.distance - b.distance || a.candidate.localeCompare(b.candidate, 'en', { numeric: true }))
    .slice(0, MAX_SUGGESTIONS)
    .map(({ candidate }) => candidate);
}

/** Of names in lower case; one that differs in length by more than the limit is not within it. */
function distanceOf(name: string, candidate: string, limit: number): number {
  if (name !== candidate && candidate.startsWith(name)) return 1;
  return Math.abs(name.length - candidate.length) > limit ? Infinity : editDistance(name, candidate);
}

/** How many letters must be added, left out, replaced or swapped with their neighbour (optimal string alignment). */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1];
      let best = Math.min((row[j - 1] ?? 0) + 1, (last[j] ?? 0) + 1, (last[j - 1] ?? 0) + (isSame ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) best = Math.min(best, (beforeLast[j - 2] ?? 0) + 1);
      row.push(best);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
