import { CacheCollected, type CollectRequest } from '@floe/protocol';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { formatCollected } from '../view/cache.ts';
import { lifetimeArgument, REASON } from './arguments.ts';

/** A large cache is read as a whole. */
const ANSWER_MS = 10 * 60_000;
const [reasonFlag, , reasonOf] = REASON;

export function addCache(program: Command, cli: Cli): void {
  const cache = program.command('cache').description("the server's own cache, from which hosts download");

  cache
    .command('gc')
    .description('remove from the cache what no host needs')
    .option('--dry-run', 'only say what would be removed')
    .option('--unused-for <duration>', 'only what nobody has needed for so long: 12h, 30d, 4w; the last hour stays in any case', lifetimeArgument)
    .option(reasonFlag, 'why; kept in the audit log', reasonOf)
    .addHelpText(
      'after',
      `
What a host runs, boots, was told, is kept on or may be told next stays, with all that it needs: also the newest three releases
of each host, what a rollout under way or a commit in work has, stepping stones, trials, and what was submitted and waits. The
rest goes, the oldest first. To pin a host to a system that went, it has to be published again.

Only the server's own folder is looked at. Where hosts download from another cache (FLOE_CACHE_URL, FLOE_PUBLISH_TO), nothing is
removed there: that is its own business. What left it is published again with the next commit that needs it.

Examples:
  $ floe cache gc --dry-run
  $ floe cache gc --unused-for 30d --reason "the disk is full"`,
    )
    .action((options: { dryRun?: true; unusedFor?: number; reason?: string }) => collect(cli, options));
}

async function collect(cli: Cli, { dryRun = false, unusedFor, reason }: { dryRun?: boolean; unusedFor?: number; reason?: string }): Promise<void> {
  const request: CollectRequest = {
    dryRun,
    ...(unusedFor === undefined ? {} : { unusedForMs: unusedFor }),
    ...(reason === undefined ? {} : { reason }),
  };
  const collected = await (await cli.api()).post('/api/cache/gc', request, CacheCollected, ANSWER_MS);
  if (cli.options().json === true) cli.out.json(collected);
  else cli.out.print(formatCollected(collected, viewOf(cli)));
}
