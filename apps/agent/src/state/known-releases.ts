import type { AgentJournal, StorePath } from '@floe/model';
import { CommitSha, Counter, StorePath as StorePathSchema } from '@floe/protocol';
import { readFileIfPresent } from '@floe/runtime';
import * as v from 'valibot';

const KnownRelease = v.object({ toplevel: StorePathSchema, repository: v.string(), ref: v.string(), commit: CommitSha, sequence: Counter });

/** What a release said of a system. */
export type KnownRelease = v.InferOutput<typeof KnownRelease>;

/** The form of the file. Fields are only added. */
const KnownReleases = v.object({ releases: v.array(KnownRelease) });

/** More systems than a machine keeps generations. */
const MAX_KNOWN = 50;

/** Which commits the systems were released with that this machine was told to run. A file that cannot be read is as none. */
export async function readKnownReleases(path: string): Promise<readonly KnownRelease[]> {
  const text = await readFileIfPresent(path);
  if (text === undefined) return [];
  try {
    return v.parse(KnownReleases, JSON.parse(text)).releases;
  } catch {
    return [];
  }
}

/** The content of the file. */
export function knownReleasesText(releases: readonly KnownRelease[]): string {
  return JSON.stringify({ releases });
}

/** Of a system that several commits have it is the one that the machine was told last. */
export function releaseOf(releases: readonly KnownRelease[], toplevel: StorePath | null): KnownRelease | undefined {
  return releases.find((each) => each.toplevel === toplevel);
}

/** The same list when nothing is new. Of too many the oldest is forgotten, but never that of the system that runs. */
export function withToldReleases(
  releases: readonly KnownRelease[],
  { directive, pending }: Pick<AgentJournal, 'directive' | 'pending'>,
  running: StorePath | null,
): readonly KnownRelease[] {
  let known = releases;
  for (const told of [directive?.release, pending?.release]) {
    if (told === undefined) continue;
    const { toplevel, repository, ref, commit, sequence } = told;
    const before = releaseOf(known, toplevel);
    if (before?.commit === commit && before.sequence === sequence && before.repository === repository && before.ref === ref) continue;
    known = [...known.filter((each) => each !== before), { toplevel, repository, ref, commit, sequence }];
  }
  while (known.length > MAX_KNOWN) {
    const oldest = known.find((each) => each.toplevel !== running);
    known = known.filter((each) => each !== oldest);
  }
  return known;
}
