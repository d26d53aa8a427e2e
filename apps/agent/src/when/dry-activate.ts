/** What a switch would do, by the output of `switch-to-configuration dry-activate`. */
export interface DryActivation {
  /** Units that would be stopped or restarted. */
  readonly ended: readonly string[];
  /** All units that would change in any way, with those of `ended`. */
  readonly touched: readonly string[];
  /** True: something without a unit's name would change: systemd itself, a swap device, a line of unknown form. */
  readonly touchesMore: boolean;
  /** False: there was output, but no line of a known form. */
  readonly isUnderstood: boolean;
}

/** E.g. `would stop the following units as well: a.service, b.service`; of the system's or a user's manager. */
const UNITS_LINE = /^would (?<not>not )?(?<verb>[a-z]+) the following(?: [a-z]+){0,8}? units\b[^:]*:(?<units>.*)$/i;
/** Printed on every run: it shows that the output is that of the script. */
const ACTIVATES_LINE = /^would activate the configuration\b/i;
/** `would restart systemd`, `would stop swap device: /dev/sda2`. */
const MORE_LINE = /^would (?:restart systemd\b|stop swap device\b)/i;

/** Verbs that stop nothing; any other verb counts as a stop. */
const GENTLE_VERBS = new Set(['start', 'reload']);

/**
 * Parses the output of `dry-activate`, which has no form for programs. Lenient, as it differs between releases of NixOS: only
 * whole lines with a known beginning count, and the activation script's own output does not.
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
      // Units that ask not to be restarted: nothing happens to them.
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
