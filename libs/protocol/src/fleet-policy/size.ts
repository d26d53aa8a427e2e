import { MAX_POLICY_BYTES } from '@floe/model';

const MAX_DEPTH = 12;

/**
 * Why the data is too large to look at; undefined: it is not. Looked at before anything else, so that checking costs no more than
 * a policy that a fleet needs. `data` may be any value; what JSON does not have counts as too large.
 */
export function tooLarge(data: unknown): string | undefined {
  let bytes = 0;
  const left: (readonly [value: unknown, depth: number])[] = [[data, 0]];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const [value, depth] = next;
    if (depth > MAX_DEPTH) return `floe: the policy has sets or lists in each other, deeper than ${MAX_DEPTH}`;
    if (typeof value === 'object' && value !== null) {
      const keys = Object.keys(value);
      if (keys.length > MAX_POLICY_BYTES) return TOO_LARGE;
      for (const key of keys) {
        bytes += Array.isArray(value) ? 1 : key.length + 4;
        left.push([(value as Readonly<Record<string, unknown>>)[key], depth + 1]);
      }
    } else if (typeof value === 'string') bytes += value.length + 2;
    else if (typeof value === 'number' || typeof value === 'boolean' || value === null) bytes += 4;
    else if (depth > 0 || value !== undefined) return `floe: the policy has a value that is no plain data (${typeof value})`;
    if (bytes > MAX_POLICY_BYTES) return TOO_LARGE;
  }
  return undefined;
}

const TOO_LARGE = `floe: the policy is larger than ${MAX_POLICY_BYTES / 1024} KiB, the most that is read with every commit: give labels and rings to many hosts by services.floe.agent in their own configurations, or by patterns`;
