import { TrialAnswer, type HostName } from '@floe/protocol';
import { InvalidArgumentError, type Command } from 'commander';
import { awaitTrial } from '../await-trial.ts';
import type { Cli } from '../cli.ts';
import { suggestingHosts } from '../host-suggestions.ts';
import { commitPrefixArgument, hostArgument, REASON, trialTimeArgument } from './arguments.ts';

interface Options {
  readonly reason: string;
  readonly for?: number;
  readonly end?: boolean;
  readonly wait: boolean;
}

/** The command that has one host try a system. */
export function addTry(program: Command, cli: Cli): void {
  program
    .command('try')
    .description('have one host try the system of a commit until an end, or end that')
    .argument('<host>', 'a host as in nixosConfigurations', hostArgument)
    .argument('[commit]', 'at least 7 digits of one that was built for the host; older ones too', commitPrefixArgument)
    .requiredOption(...REASON)
    .option('--for <time>', 'how long, 24 hours at most: 30m, 2h (default: 2h)', trialTimeArgument)
    .option('--end', 'end the trial of the host now')
    .option('--no-wait', 'do not wait for what the machine answers')
    .addHelpText(
      'after',
      `
The host needs services.floe.agent.trials.enable, and so does the tried system. It goes back by itself at the end, connected or
not, and with a restart. Its profile and boot default stay as they are, and it counts in no gate meanwhile.
The command waits half a minute for the machine's answer. It ends with 1 if the machine refused or failed. Later, floe hosts NAME,
floe why NAME and floe log show the result.

Examples:
  $ floe try ws0001 3f9c2ab --for 30m --reason "is it the new driver?"
  $ floe try ws0001 --end --reason "it is not"`,
    )
    .action(async (host: HostName, commit: string | undefined, { reason, for: forMs, end = false, wait }: Options) => {
      if (end === (commit !== undefined)) throw new InvalidArgumentError('name a commit to try, or give --end');
      const api = await cli.api();
      if (end) {
        await suggestingHosts(api, host, () => api.send('DELETE', `/api/hosts/${host}/trial`, { reason }));
        confirm(cli, { outcome: 'done', message: `${host} follows the fleet again.` });
        return;
      }
      const body = { reason, commit, ...(forMs === undefined ? {} : { forMs }) };
      const answer = await suggestingHosts(api, host, () => api.post(`/api/hosts/${host}/trial`, body, TrialAnswer));
      if (!wait || answer.trial === undefined) {
        confirm(cli, answer);
        return;
      }
      if (cli.options().json !== true) cli.out.print(answer.message);
      const news = await awaitTrial(cli, api, host, answer.trial);
      if (news.kind === 'failed') cli.exitCode = 1;
      if (cli.options().json === true) cli.out.json({ ...answer, host: news });
      else cli.out.print(news.text);
    });
}

function confirm(cli: Cli, answer: TrialAnswer): void {
  if (cli.options().json === true) cli.out.json(answer);
  else cli.out.print(answer.message);
}
