import { HostView, WhyView, type HostName } from '@floe/protocol';
import { ago, attentionOfHost, submissionWords, trialEndWords } from '@floe/views';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { suggestingHosts } from '../host-suggestions.ts';
import { formatAttention } from '../view/attention.ts';
import { formatBlock } from '../view/terminal.ts';
import { hostArgument } from './arguments.ts';

export function addWhy(program: Command, cli: Cli): void {
  program
    .command('why')
    .description('why a host does not run the newest commit: each rule that stands in between, and what ends it')
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .addHelpText(
      'after',
      `
In the order in which the rules are asked; the server answers from what it decides by. Then what is wrong with the host, with its code. For a week
it also says how a trial ended.

Example:
  $ floe why ws0001`,
    )
    .action((host: HostName) => showWhy(cli, host));
}

async function showWhy(cli: Cli, host: HostName): Promise<void> {
  const { out } = cli;
  const api = await cli.api();
  const why = await suggestingHosts(api, host, () => api.get(`/api/hosts/${host}/why`, WhyView));
  if (cli.options().json === true) {
    out.json(why);
    return;
  }
  const view = await api.get(`/api/hosts/${host}`, HostView);
  const { lastTrial, submission } = view;
  if (why.length === 0) out.print(`${host} runs the newest commit.`);
  else out.print(why.map(({ text, end }) => `${formatBlock(text, '')}\n${formatBlock(`→ ${end}`)}`).join('\n'));
  if (submission !== null) out.print(formatBlock(submissionWords(submission), ''));
  const attention = attentionOfHost(view);
  if (attention.length > 0) out.print(formatAttention(attention, viewOf(cli)));
  // It stands in the way of nothing, but is what who asked for a trial wants to know.
  if (lastTrial !== null) out.print(formatBlock(`${trialEndWords(lastTrial)} (${ago(lastTrial.endedAt, cli.deps.clock.now())})`, ''));
}
