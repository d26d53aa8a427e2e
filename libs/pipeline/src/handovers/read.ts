import type { Revision } from '@floe/store';
import { PATHS_PER_COMMAND, type PublishedHost } from '../building/publish-hosts.ts';
import type { PipelineDeps } from '../deps.ts';

/** What is to be signed of a submitted revision: its changed hosts, as read back from the cache once more. Throws as `readBack()`. */
export async function readHandover(
  { store, nix, cache }: Pick<PipelineDeps, 'store' | 'nix' | 'cache'>,
  revision: Pick<Revision, 'id'>,
): Promise<readonly PublishedHost[]> {
  const wanted = (await store.revisions.evaluations(revision.id)).flatMap(({ host, outcome, toplevel, system, formerHost }) =>
    (outcome === 'CHANGED' || outcome === 'NEW') && toplevel !== undefined && system !== undefined ? [{ host, toplevel, system, formerHost }] : [],
  );
  const paths = [...new Set(wanted.map(({ toplevel }) => toplevel))];
  const published: PublishedHost[] = [];
  for (let start = 0; start < paths.length; start += PATHS_PER_COMMAND) {
    const found = await nix.readBack(cache, paths.slice(start, start + PATHS_PER_COMMAND));
    for (const each of wanted) {
      const read = found.get(each.toplevel);
      if (read === undefined) continue;
      const { narHash, closureSizeBytes } = read;
      await store.revisions.savePublished(revision.id, each.host, narHash, closureSizeBytes);
      published.push({ ...each, narHash, closureSizeBytes });
    }
  }
  return published;
}
