import { ReportView, type HostName } from '@floe/protocol';
import { failureOfSwitch, switchesOf, type Switch } from '@floe/views';
import type { Command } from 'commander';
import * as v from 'valibot';
import type { ApiClient } from '../api-client.ts';
import { viewOf, type Cli } from '../cli.ts';
import { suggestingHosts } from '../host-suggestions.ts';
import { readReportLog } from '../report-log.ts';
import { formatFailures, formatHistory } from '../view/history.ts';
import { hostArgument, limitArgument } from './arguments.ts';

/** All that the server gives at once: a switch is some ten reports. */
const REPORTS = 1_000;

export function addHistory(program: Command, cli: Cli): void {
  program
    .command('history')
    .description('what a host ran when: its switches, with commit, result and reason, newest first')
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .option('--limit <n>', 'how many switches', limitArgument, 20)
    .addHelpText(
      'after',
      `
One line for each system that the host was told to run. CAME TO is how that ended, or how far it is; TOOK is the time of its
steps together, without waiting; WHY is the agent's reason. The server keeps the last 1,000 reports of a host, about 100
switches, for 90 days.

Examples:
  $ floe history ws0001
  $ floe history ws0001 --json | jq -r '.[] | select(.state == "ROLLED_BACK") | [.commit.commit, .detail] | @tsv'`,
    )
    .action((host: HostName, { limit }: { limit: number }) => showHistory(cli, host, limit));

  program
    .command('logs')
    .description('why the last switch of a host failed: the check that failed, and the end of the log')
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .option('--limit <n>', 'how many failed switches, newest first', limitArgument, 1)
    .addHelpText(
      'after',
      `
Agents send the end of a log with the step that failed; the server keeps those of a host's last 200 reports. All of it is
in the journal of the machine: journalctl -u floe-agent

Examples:
  $ floe logs ws0001
  $ floe logs ws0001 --limit 5
  $ floe logs ws0001 --json | jq -r '.[0].log'`,
    )
    .action((host: HostName, { limit }: { limit: number }) => showLogs(cli, host, limit));
}

async function readSwitches(api: ApiClient, host: HostName): Promise<readonly Switch[]> {
  const reports = await suggestingHosts(api, host, () => api.get(`/api/hosts/${host}/reports?limit=${REPORTS}`, v.array(ReportView)));
  const switches = switchesOf(reports);
  // Where reports are cut off, the beginning of the oldest switch is missing.
  return reports.length === REPORTS && switches.length > 1 ? switches.slice(0, -1) : switches;
}

async function showHistory(cli: Cli, host: HostName, limit: number): Promise<void> {
  const { out } = cli;
  const all = await readSwitches(await cli.api(), host);
  const switches = all.slice(0, limit);
  if (cli.options().json === true) out.json(switches.map(withoutReports));
  else if (switches.length === 0) out.note(`${host} has not reported anything yet`);
  else {
    out.print(formatHistory(switches, viewOf(cli)));
    if (all.length > limit) out.note(`older ones: --limit ${Math.min(all.length, 9_999)}`);
  }
}

/** As scripts get it: the reports are those of `floe hosts NAME --json`. */
function withoutReports({ toplevel, commit, state, isOver, startedAt, at, detail, timings }: Switch): Omit<Switch, 'key' | 'reports'> {
  return { toplevel, commit, state, isOver, startedAt, at, detail, timings };
}

async function showLogs(cli: Cli, host: HostName, limit: number): Promise<void> {
  const { out } = cli;
  const api = await cli.api();
  const failed = (await readSwitches(api, host)).flatMap((each) => failureOfSwitch(each) ?? []).slice(0, limit);
  const failures: ((typeof failed)[number] & { readonly log: string | null })[] = [];
  // One after another: many at once would take the server's turns from others.
  for (const failure of failed) failures.push({ ...failure, log: failure.logged === null ? null : await readReportLog(api, failure.logged) });
  if (cli.options().json === true)
    out.json(failures.map(({ state, toplevel, commit, at, reason, log }) => ({ state, toplevel, commit, at, reason, log })));
  else if (failures.length === 0) out.note(`no log of ${host}: none of its switches that the server keeps failed\n${whereElse(host)}`);
  else {
    out.print(formatFailures(failures, viewOf(cli)));
    if (failures.some(({ log }) => log === null)) out.note(whereElse(host));
  }
}

function whereElse(host: HostName): string {
  return `logs of failed steps are kept with a host's last 200 reports. Its switches: floe history ${host}; on the machine: journalctl -u floe-agent`;
}
