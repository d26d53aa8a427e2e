import { printableLine } from '@floe/model';
import { ProbeConfigViews, ProbeTested } from '@floe/protocol';
import { duration } from '@floe/views';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { formatTable } from '../view/terminal.ts';
import { probeNameArgument } from './arguments.ts';

export function addProbe(program: Command, cli: Cli): void {
  const probe = program
    .command('probe')
    .description('what is asked outside while a ring changes and soaks')
    .addHelpText(
      'after',
      `
Probes are settings of the server (FLOE_PROBES_FILE): webhooks and queries of Prometheus. The policy
of the fleet names them for its rings.`,
    );

  probe
    .command('list')
    .description('all probes that a policy can name')
    .addHelpText(
      'after',
      `
Example:
  $ floe probe list`,
    )
    .action(() => list(cli));

  probe
    .command('test')
    .description('ask a probe now, about no commit, and print what it answers')
    .argument('<name>', 'a probe, as floe probe list names it', probeNameArgument)
    .addHelpText(
      'after',
      `
The exit status is ${EXIT_CODES.failed} when it says no, or gives no answer.

Example:
  $ floe probe test errors-of-the-shop`,
    )
    .action((name: string) => test(cli, name));
}

async function list(cli: Cli): Promise<void> {
  const { out } = cli;
  const probes = await (await cli.api()).get('/api/probes', ProbeConfigViews);
  if (cli.options().json === true) out.json(probes);
  else if (probes.length === 0) out.note('nothing is asked: the server has no probes (FLOE_PROBES_FILE)');
  else {
    const rows = probes.map(({ name, kind, place, good, query }) => [name, kind, place, good ?? '', query ?? ''].map((text) => ({ text })));
    out.print(formatTable(['NAME', 'KIND', 'AT', 'GOOD', 'QUERY'], rows, viewOf(cli), ['GOOD', 'QUERY']));
  }
}

async function test(cli: Cli, name: string): Promise<void> {
  const { out } = cli;
  const tested = await (await cli.api()).post(`/api/probes/${encodeURIComponent(name)}/test`, {}, ProbeTested);
  if (cli.options().json === true) out.json(tested);
  else out.print(`${printableLine(tested.text)}, after ${duration(tested.tookMs)}`);
  if (tested.verdict !== 'good') cli.exitCode = EXIT_CODES.failed;
}
