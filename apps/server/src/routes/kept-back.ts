import type { Desired, HostName, ReleaseRef } from '@floe/model';
import type { StorePart } from '@floe/store';
import { releaseWords } from '@floe/views';
import type { FleetReader } from '../fleet-reader.ts';

export interface KeptBackDeps {
  readonly store: StorePart<{ releases: 'commitsOf' }>;
  readonly reader: Pick<FleetReader, 'why'>;
}

/** People think in commits. The number is said where the commit is not known, or has the same system again in a later revision. */
export async function nameOfRelease({ store }: Pick<KeptBackDeps, 'store'>, { host, toplevel, sequence }: ReleaseRef): Promise<string> {
  const [found] = await store.releases.commitsOf([{ host, toplevel }]);
  return releaseWords(sequence, found?.sequence === sequence ? found.commit : undefined);
}

/** A line for each rule that stands between the host and the newest commit, as `floe why` says it; none: nothing does. */
export async function whyLines({ reader }: Pick<KeptBackDeps, 'reader'>, host: HostName): Promise<readonly string[]> {
  return ((await reader.why(host)) ?? []).map(({ text, end }) => `${text}; ${end}`);
}

/** Who is in sync with what it should run may still be kept from the newest commit: what it has, and why. */
export async function withWhatKeepsIt(deps: KeptBackDeps, host: HostName, message: string, desired: Desired): Promise<string> {
  const lines = await whyLines(deps, host);
  if (lines.length === 0) return message;
  const has = desired.kind === 'release' ? ` with ${await nameOfRelease(deps, desired.release)}` : '';
  return [`${message}${has}, but kept from the newest commit:`, ...lines].join('\n');
}
