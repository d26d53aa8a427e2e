import { QuarantineAnswer, type HostName, type RolloutAnswer } from '@floe/protocol';
import { shortSha } from '@floe/views';
import { InvalidArgumentError, type Command } from 'commander';
import type { Cli } from '../cli.ts';
import { suggestingHosts } from '../host-suggestions.ts';
import { commitPrefixArgument, hostArgument, REASON, UNTIL_WORDS, untilArgument, type Until } from './arguments.ts';

interface Options {
  readonly reason: string;
  readonly all?: string;
  readonly lift?: true;
  readonly until?: Until;
}

/** The command by which a person says that a system does not run on a host, or on none. */
export function addQuarantine(program: Command, cli: Cli): void {
  program
    .command('quarantine')
    .description('forbid a host, or all hosts, to run the system of a commit')
    .argument('[host]', 'a host as in nixosConfigurations', hostArgument)
    .argument('[commit]', 'at least 7 digits of it', commitPrefixArgument)
    .requiredOption(...REASON)
    .option('--all <commit>', 'instead of a host: all hosts whose system the commit changed', commitPrefixArgument)
    .option('--until <when>', UNTIL_WORDS, untilArgument)
    .option('--lift', 'allow it again')
    .addHelpText(
      'after',
      `
The host is never told to run that system, not from another commit either, and counts in no gate of its rollout
(a failure that it reported before still does: floe rollout resume). What waits there for
a restart is taken back. A host that runs it keeps it until another commit is its turn. Nothing else stops: to end the rollout of a
commit, use floe rollout abort. What a host put into quarantine by itself, after a rollback, is ended by floe retry and not by --lift.

Examples:
  $ floe quarantine ws0001 3f9c2ab --reason "its graphics card hangs with this kernel"
  $ floe quarantine --all 3f9c2ab --reason "eats the mail spool"
  $ floe quarantine ws0001 3f9c2ab --until 7d --reason "until its card is replaced"
  $ floe quarantine ws0001 3f9c2ab --lift --reason "the card was replaced"`,
    )
    .action(async (host: HostName | undefined, named: string | undefined, { reason, all, lift, until }: Options) => {
      const commit = all ?? named;
      if (commit === undefined || (all === undefined) === (host === undefined))
        throw new InvalidArgumentError('name a host and a commit, or give --all COMMIT');
      if (lift === true && until !== undefined) throw new InvalidArgumentError('give --lift or --until, not both');
      const end = until === undefined ? {} : { until: until(cli.deps.clock.now()) };
      const api = await cli.api();
      const path = host === undefined ? '/api/ordered-quarantine' : (`/api/hosts/${host}/ordered-quarantine` as const);
      const suggesting = async <Answer>(ask: () => Promise<Answer>): Promise<Answer> =>
        host === undefined ? await ask() : await suggestingHosts(api, host, ask);
      if (lift !== true) {
        confirm(cli, await suggesting(async () => await api.post(path, { reason, commit, ...end }, QuarantineAnswer)));
        return;
      }
      await suggesting(async () => {
        await api.send('DELETE', path, { reason, commit });
      });
      confirm(cli, { outcome: 'done', message: `${shortSha(commit)} may run on ${host ?? 'all hosts'} again, through the rings.` });
    });
}

function confirm(cli: Cli, answer: RolloutAnswer | QuarantineAnswer): void {
  if (cli.options().json === true) cli.out.json(answer);
  else cli.out.print(answer.message);
}
