import { HostView, ReportView, RevisionView, type FreezeView, type HostName } from '@floe/protocol';
import type { Command } from 'commander';
import * as v from 'valibot';
import { isFloeError } from '@floe/runtime';
import type { ApiClient } from '../api-client.ts';
import { viewOf, type Cli } from '../cli.ts';
import { suggestingHosts } from '../host-suggestions.ts';
import { needsAttention } from '@floe/views';
import { readReportLog } from '../report-log.ts';
import { formatHost, formatHosts } from '../view/hosts.ts';
import { hostArgument, limitArgument } from './arguments.ts';

export function addHosts(program: Command, cli: Cli): void {
  program
    .command('hosts')
    .description('the hosts, or everything about one of them')
    .argument('[name]', 'a host as in nixosConfigurations', hostArgument)
    .option('--attention', 'only those that need a person')
    .option('--reports <n>', 'how many reports of the host to show', limitArgument, 10)
    .addHelpText(
      'after',
      `
COMMIT is what a host really runs, SUBJECT its first line. DESIRED is the system that a host was told to run, RUNNING the
one that it runs: the first 8 characters of the store path's hash.
TODO is what an administrator can do about it, WHY what is wrong or what a host waits for; floe hosts NAME has both in
full. Of one host that is not in sync, the log of its last failure is shown too.

Examples:
  $ floe hosts
  $ floe hosts --attention
  $ floe hosts ws0001
  $ floe hosts --json | jq -r '.[] | select(.standing == "waiting") | [.host, .detail.message] | @tsv'`,
    )
    .action((name: HostName | undefined, options: { attention?: true; reports: number }) =>
      name === undefined ? listHosts(cli, options.attention === true) : showHost(cli, name, options.reports),
    );
}

async function listHosts(cli: Cli, isAttentionOnly: boolean): Promise<void> {
  const { out } = cli;
  const all = await (await cli.api()).get('/api/hosts', v.array(HostView));
  const hosts = isAttentionOnly ? all.filter(needsAttention) : all;
  if (cli.options().json === true) out.json(hosts);
  else if (hosts.length > 0) out.print(formatHosts(hosts, viewOf(cli)));
  else out.note(all.length === 0 ? 'no hosts yet: they appear with the first revision' : 'no host needs attention');
}

async function showHost(cli: Cli, name: HostName, limit: number): Promise<void> {
  const { out } = cli;
  const api = await cli.api();
  const host = await suggestingHosts(api, name, () => api.get(`/api/hosts/${name}`, HostView));
  const reports = await api.get(`/api/hosts/${name}/reports?limit=${limit}`, v.array(ReportView));
  // Once the host is where it should be, an old failure's log is not what anybody looks for.
  const failed = host.standing === 'in-sync' ? undefined : reports.find(({ hasLog }) => hasLog);
  const log = failed === undefined ? null : await readReportLog(api, failed);
  const failure = failed === undefined || log === null ? null : { report: failed, log };
  const freeze = await readFreeze(api);
  if (cli.options().json === true) out.json({ host, reports, log, freeze });
  else out.print(formatHost({ host, reports, failure, freeze }, viewOf(cli)));
}

/** A person's pause of all rollouts; null also where nothing was rolled out yet. */
async function readFreeze(api: ApiClient): Promise<FreezeView | null> {
  try {
    return (await api.get('/api/rollout', RevisionView)).rollout?.freeze ?? null;
  } catch (error) {
    if (!isFloeError(error, 'NOT_FOUND')) throw error;
    return null;
  }
}
