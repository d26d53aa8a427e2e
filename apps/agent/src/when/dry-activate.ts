/** What `switch-to-configuration dry-activate` said that it would do. */
export interface DryActivation {
  /** Units that would be stopped or restarted: what runs in them ends. */
  readonly ended: readonly string[];
  /** Every unit that would be touched in any way, those of `ended` among them. */
  readonly touched: readonly string[];
  /** True when something would be touched that has no unit's name: systemd itself, a swap device, a line of a new form. */
  readonly touchesMore: boolean;
  /** False when there were words, and none of a known form. */
  readonly isUnderstood: boolean;
}

/** E.g. `would stop the following units as well: a.service, b.service`; of the system or of people's own managers. */
const UNITS_LINE = /^would (?<not>not )?(?<verb>[a-z]+) the following(?: [a-z]+){0,8}? units\b[^:]*:(?<units>.*)$/i;
/** What is printed on every run, between the lines about units: it says that the words are those of this script. */
const ACTIVATES_LINE = /^would activate the configuration\b/i;
/** `would restart systemd`, `would stop swap device: /dev/sda2`. */
const MORE_LINE = /^would (?:restart systemd\b|stop swap device\b)/i;

/** Verbs after which what ran before goes on; any other one is taken for the end of it. */
const GENTLE_VERBS = new Set(['start', 'reload']);

/**
 * Reads the words of `dry-activate`, which has no output for programs. Lenient, as they differ between releases of
 * NixOS: what stands for itself on a line of a known beginning counts, the activation script's own words do not.
 */
export function parseDryActivate(text: string): DryActivation {
  const ended = new Set<string>();
  const touched = new Set<string>();
  let touchesMore = false;
  let isUnderstood = false;
  const lines = text.split('\n').map((line) => line.trim());
  for (const line of lines) {
    const { not, verb, units } = UNITS_LINE.exec(line)?.groups ?? {};
    if (ACTIVATES_LINE.test(line)) {
      isUnderstood = true;
    } else if (MORE_LINE.test(line)) {
      isUnderstood = true;
      touchesMore = true;
    } else if (verb !== undefined) {
      isUnderstood = true;
      // Changed, but left alone by their own wish: nothing happens to them.
      if (not !== undefined) continue;
      const names = (units ?? '').split(/[\s,]+/).filter((name) => name !== '');
      if (names.length === 0) touchesMore = true;
      for (const name of names) {
        touched.add(name);
        if (!GENTLE_VERBS.has(verb.toLowerCase())) ended.add(name);
      }
    }
  }
  return {
    ended: [...ended].toSorted(),
    touched: [...touched].toSorted(),
    touchesMore,
    isUnderstood: isUnderstood || lines.every((line) => line === ''),
  };
}
