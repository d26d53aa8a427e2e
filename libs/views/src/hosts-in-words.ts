const MAX_NAMES = 3;
const MAX_MANY = 12;

/** `alice, bob and 3 more`. `total`: so many there are, where only the first ones are given. */
export function listNames(names: readonly string[], total = names.length): string {
  if (total <= Math.min(MAX_NAMES, names.length)) return names.join(', ');
  const named = names.slice(0, MAX_NAMES - 1);
  return `${named.join(', ')} and ${total - named.length} more`;
}

/** The same where there is more room. */
export function nameMany(names: readonly string[]): string {
  return names.length <= MAX_MANY
    ? names.join(', ')
    : `${names.slice(0, MAX_MANY - 1).join(', ')} and ${(names.length - MAX_MANY + 1).toLocaleString('en')} more`;
}

/** `1 host`, `2 hosts` */
export function hosts(count: number): string {
  return count === 1 ? '1 host' : `${count} hosts`;
}

/** True when one status for each host would be too many. */
export function isLargeFleet(total: number): boolean {
  return total > 100;
}

/**
 * `3 of 7`; for large fleets `41% of 1000`: a forge takes a limited number of statuses per commit and context (GitHub:
 * 1000), and one for each host of a large fleet would leave no room for the last.
 */
export function progressOf(done: number, total: number): string {
  return !isLargeFleet(total) || done === 0 || done >= total ? `${done} of ${total}` : `${Math.floor((100 * done) / total)}% of ${total}`;
}
