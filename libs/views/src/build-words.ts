import type { RevisionView } from '@floe/protocol';
import { duration } from '@floe/model';
import { count } from './text.ts';

/** So many builds are shown, with what they print. */
const MAX_SHOWN = 5;

/** "building ada for 12 min 5 s: linux-6.6: CC drivers/net.o", checks and then hosts, the longest first; a line for each. The texts are the builds' own. */
export function buildLines({ builds, checkBuilds }: Pick<RevisionView, 'builds' | 'checkBuilds'>, now: number): readonly string[] {
  const all = [...checkBuilds.map((each) => ({ ...each, what: `the check ${each.check}` })), ...builds.map((each) => ({ ...each, what: each.host }))];
  const shown = all.slice(0, MAX_SHOWN).map(({ what, since, derivation, line }) => {
    const texts = [derivation, line].filter((text) => text !== null);
    return `building ${what} for ${duration(Math.max(1, Math.floor((now - since) / 1_000)) * 1_000)}${texts.map((text) => `: ${text}`).join('')}`;
  });
  const more = all.length - shown.length;
  return more === 0 ? shown : [...shown, `and ${count(more, 'other build')}`];
}
