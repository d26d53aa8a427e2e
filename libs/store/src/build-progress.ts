import { boundedTime, HOST_NAME_FORM, printableLine, storableText, type HostName } from '@floe/model';
import { eq } from 'drizzle-orm';
import * as v from 'valibot';
import type { BuildProgressStore, BuildUnderWay } from './build-progress-contract.ts';
import type { Database } from './database.ts';
import { notify } from './hints.ts';
import { buildsUnderWay } from './tables/index.ts';

/** More than any builder runs at a time. */
const MAX_BUILDS = 1_000;
const MAX_CHARACTERS = 200;

/** What a terminal can show, whoever wrote it. */
function oneLine(text: string): string {
  return storableText(printableLine(text.slice(0, 10 * MAX_CHARACTERS)), MAX_CHARACTERS);
}

const Line = v.pipe(v.string(), v.transform(oneLine));
const Column = v.pipe(
  v.array(
    v.object({
      host: v.optional(
        v.pipe(
          v.string(),
          v.regex(HOST_NAME_FORM),
          v.transform((text) => text as HostName),
        ),
      ),
      check: v.optional(Line),
      since: v.pipe(v.number(), v.transform(boundedTime)),
      derivation: v.optional(Line),
      line: v.optional(Line),
    }),
  ),
  v.maxLength(MAX_BUILDS),
);

/** One row for each repository, replaced as a whole: what is over is forgotten. */
async function noteBuilds(db: Database, repositoryId: string, revisionId: string, builds: readonly BuildUnderWay[]): Promise<void> {
  const told = builds.slice(0, MAX_BUILDS).map(({ host, check, since, derivation, line }) => ({
    host,
    check: check === undefined ? undefined : oneLine(check),
    since,
    derivation: derivation === undefined ? undefined : oneLine(derivation),
    line: line === undefined ? undefined : oneLine(line),
  }));
  await db.transaction(async (tx) => {
    await tx
      .insert(buildsUnderWay)
      .values({ repositoryId, revisionId, builds: told })
      .onConflictDoUpdate({ target: buildsUnderWay.repositoryId, set: { revisionId, builds: told } });
    await notify(tx, { topic: 'revision', id: revisionId });
  });
}

export function createBuildProgressStore(db: Database): BuildProgressStore {
  return {
    noteBuilds: async (repositoryId, revisionId, builds) => await noteBuilds(db, repositoryId, revisionId, builds),
    async buildsOf(revisionId) {
      const [row] = await db.select({ builds: buildsUnderWay.builds }).from(buildsUnderWay).where(eq(buildsUnderWay.revisionId, revisionId));
      // What cannot be read is not shown: nothing depends on it.
      const parsed = v.safeParse(Column, row?.builds);
      return parsed.success ? parsed.output.toSorted((one, other) => one.since - other.since) : [];
    },
  };
}
