import { STATUS_STATES } from '@floe/model';
import * as v from 'valibot';
import type { ReadOutcome } from './status.ts';

const PAGE_SIZE = 100;
/** A commit of which GitHub shows more contexts than these pages hold is told again rather than read on. */
const MAX_PAGES = 5;

/** GitHub's "combined status": the last status of each context, as far as it is used. */
const Page = v.object({
  total_count: v.number(),
  statuses: v.array(
    v.object({
      context: v.string(),
      state: v.picklist(STATUS_STATES),
      description: v.nullable(v.string()),
      target_url: v.nullable(v.string()),
    }),
  ),
});

/** Looks for a context in the pages of a commit's combined status. */
export async function findGithubStatus(getPage: (page: number, pageSize: number) => Promise<unknown>, context: string): Promise<ReadOutcome> {
  for (let page = 1; page <= MAX_PAGES; page += 1) {
    const parsed = v.safeParse(Page, await getPage(page, PAGE_SIZE));
    if (!parsed.success) return { kind: 'unknown', message: 'what was answered is not the status of a commit' };
    const { statuses, total_count: total } = parsed.output;
    const found = statuses.find((status) => status.context === context);
    if (found !== undefined)
      return { kind: 'read', status: { state: found.state, description: found.description ?? '', targetUrl: found.target_url ?? '' } };
    if (statuses.length === 0 || page * PAGE_SIZE >= total) return { kind: 'read', status: undefined };
  }
  return { kind: 'unknown', message: `the commit has more than ${PAGE_SIZE * MAX_PAGES} contexts` };
}
