import type { BuildView } from '@floe/protocol';
import { duration } from '@floe/model';
import { count } from './text.ts';

/** So many builds are shown, with what they print. */
const MAX_SHOWN = 5;

/** "building ada for 12 min 5 s: linux-6.6: CC drivers/net.o", the longest first; a line for each. The texts are the builds' own. */
export function buildLines(builds: readonly BuildView[], now: number): readonly string[] {
  const shown = builds.slice(0, MAX_SHOWN).map(({ host, since, derivation, line }) => {
    const texts = [derivation, line].filter((text) => text !== null);
    return `building ${host} for ${duration(Math.max(1, Math.floor((now - since) / 1_000)) * 1_000)}${texts.map((text) => `: ${text}`).join('')}`;
  });
  const more = builds.length - shown.length;
  return more === 0 ? shown : [...shown, `and ${count(more, 'other build')}`];
}
