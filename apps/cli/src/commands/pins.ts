import { RolloutAnswer, SubmissionAnswer, WayBack, type HostName, type StorePath } from '@floe/protocol';
import { FloeError } from '@floe/runtime';
import { InvalidArgumentError, type Command } from 'commander';
import { awaitSubmission } from '../await-submission.ts';
import type { Cli } from '../cli.ts';
import { suggestingHosts } from '../host-suggestions.ts';
import { signWord } from '../sign-word.ts';
import { commitPrefixArgument, hostArgument, REASON, storePathArgument, UNTIL_WORDS, untilArgument, type Until } from './arguments.ts';

const UNTIL = ['--until <when>', UNTIL_WORDS, untilArgument] as const;
const HOST = ['<host>', 'a host as in nixosConfigurations', hostArgument] as const;

interface Options {
  readonly reason: string;
  readonly until?: Until;
}

/** The commands that keep a host on one release. */
export function addPins(program: Command, cli: Cli): void {
  program
    .command('pin')
    .description('keep a host on its release of a commit, whatever is rolled out')
    .argument(...HOST)
    .argument('[commit]', 'at least 7 digits of it; by default what the host was last told', commitPrefixArgument)
    .requiredOption(...REASON)
    .option(...UNTIL)
    .option('--sign-with <key>', 'sign that the host goes back with this SSH key, private or public part, where the server asks for it')
    .option('--store-path <path>', 'pin it to this system, which no commit has; for administrators', storePathArgument)
    .option('--no-wait', 'with --store-path: do not wait until the server has published it')
    .addHelpText(
      'after',
      `
A pin counts before rings, windows and pauses, and before a hold. A pinned host counts in no gate. Only an administrator may pin a host
below what it was told: it goes back there, and stays when the pin ends, until something newer is its turn. Where the builder has keys of
operators (FLOE_OPERATOR_KEYS_FILE), one of them has to sign that, for any commit but the stable one: give --sign-with. ssh-keygen signs, so
the key may be in an agent or a device; one with a passphrase has to be in an agent (ssh-add KEY, then --sign-with KEY.pub). --sign-with
needs a commit, and shows all that is signed before. What it signed is good until --until, by default for 7 days. Nor may anybody else pin
it to a commit that the policy wants approved first, unless it was told that commit, or a complete rollout gave it.
A store path has to be in the store of the server or in its cache, signed there by the cache's key: run nix copy --to first. The server
publishes and signs it for that host alone, which may take minutes, and the command waits half a minute for it. It ends with 1 if the path was
not taken. Later, floe hosts NAME and floe why NAME show the result.

Examples:
  $ floe pin ws0001 --reason "demo at noon" --until 4h
  $ floe pin ws0001 3f9c2ab --reason "tries it before the others"
  $ floe pin ws0001 3f9c2ab --reason "the new kernel hangs" --sign-with ~/.ssh/id_ed25519.pub
  $ floe pin ws0001 --store-path /nix/store/…-nixos-system-ws0001-26.05 --reason "the forge is down"`,
    )
    .action(async (host: HostName, commit: string | undefined, options: PinOptions) => {
      if (options.storePath !== undefined) {
        if (commit !== undefined) throw new InvalidArgumentError('name a commit, or give --store-path');
        if (options.signWith !== undefined)
          throw new InvalidArgumentError('a store path takes no --sign-with: it goes above all releases, also where it is an old system');
        await submit(cli, host, options.storePath, options);
        return;
      }
      const { signWith, ...kept } = options;
      if (signWith === undefined) return await keep(cli, host, 'pin', commit === undefined ? {} : { commit }, kept);
      if (commit === undefined) throw new InvalidArgumentError('--sign-with needs a commit: without one the server would choose what your key signs');
      return await pinSigned(cli, host, commit, signWith, kept);
    });

  program
    .command('hold')
    .description('keep a host on what it was last told')
    .argument(...HOST)
    .requiredOption(...REASON)
    .option(...UNTIL)
    .addHelpText('after', '\nA hold counts when there is no pin.\n\nExample:\n  $ floe hold ws0001 --reason "Ada is on a trip" --until 2027-01-04')
    .action(async (host: HostName, options: Options) => {
      await keep(cli, host, 'hold', {}, options);
    });

  program
    .command('deploy')
    .description('have hosts take what they should run now, over windows and "later"')
    .argument('<hosts...>', 'hosts as in nixosConfigurations', hostsArgument)
    .option('--now', 'without the notice of five minutes to their users')
    .requiredOption(...REASON)
    .option('--until <when>', 'for a host that is away: when it ends; by default in 24 hours', untilArgument)
    .addHelpText(
      'after',
      `
It is for what the host should run now, and for no later commit. Its users are told five minutes before, and cannot defer it. It passes
over the windows of the ring and of the machine; never over gates, approvals, pauses, limits or a quarantine, nor ahead of its
ring: the command says what holds it. A low battery, a full disk or another switch still delay it. A host that is away takes it when it
is back. When it ends, nothing falls back.

Examples:
  $ floe deploy ws0001 --reason "closes the hole in sshd"
  $ floe deploy web1 web2 --now --reason "the certificate ends today"`,
    )
    .action(async (hosts: readonly HostName[], options: DeployOptions) => {
      await deploy(cli, hosts, options);
    });

  program
    .command('unpin')
    .description('end the pin and the hold of a host: it follows the fleet again')
    .argument(...HOST)
    .requiredOption(...REASON)
    .addHelpText('after', '\nExample:\n  $ floe unpin ws0001 --reason "the demo is over"')
    .action(async (host: HostName, { reason }: Options) => {
      const api = await cli.api();
      await suggestingHosts(api, host, () => api.send('DELETE', `/api/hosts/${host}/pin`, { reason }));
      confirm(cli, { outcome: 'done', message: `${host} follows the fleet again.` });
    });
}

interface PinOptions extends Options {
  readonly signWith?: string;
  readonly storePath?: StorePath;
  readonly wait: boolean;
}

/** Where the host goes back by it, this machine signs that, if the server says exactly what was asked for. */
async function pinSigned(cli: Cli, host: HostName, commit: string, key: string, options: Options): Promise<void> {
  const api = await cli.api();
  const back = await suggestingHosts(api, host, () => api.get(`/api/hosts/${host}/way-back?commit=${commit}`, WayBack));
  if (back.host !== host || !back.commit.startsWith(commit))
    throw new FloeError('ANSWER_MALFORMED', `the server wants something else signed: ${back.host} and commit ${back.commit}`);
  // Not below what it was told: nothing is to be signed.
  if (back.sequence >= back.floor) return await keep(cli, host, 'pin', { commit }, options);
  const end = options.until?.(cli.deps.clock.now());
  const word = await signWord(cli, key, back, { reason: options.reason.trim(), until: end });
  await keep(cli, host, 'pin', { commit, word }, { reason: options.reason, ...(end === undefined ? {} : { until: () => end }) });
}

/** The server answers before it has published the system, which may take minutes. */
async function submit(cli: Cli, host: HostName, storePath: StorePath, { reason, until, wait }: PinOptions): Promise<void> {
  const api = await cli.api();
  const body = { reason, storePath, ...(until === undefined ? {} : { until: until(cli.deps.clock.now()) }) };
  const answer = await suggestingHosts(api, host, () => api.post(`/api/hosts/${host}/submission`, body, SubmissionAnswer));
  if (!wait) {
    confirm(cli, answer);
    return;
  }
  if (cli.options().json !== true) cli.out.print(answer.message);
  const news = await awaitSubmission(cli, api, host, answer.submission);
  if (news.kind === 'failed') cli.exitCode = 1;
  if (cli.options().json === true) cli.out.json({ ...answer, server: news });
  else cli.out.print(news.text);
}

/** Commander begins with nothing. */
function hostsArgument(host: string, before: readonly HostName[] | undefined): readonly HostName[] {
  return [...(before ?? []), hostArgument(host)];
}

interface DeployOptions extends Options {
  readonly now?: true;
}

/** One after another; what a host is refused stops none of the others. */
async function deploy(cli: Cli, hosts: readonly HostName[], { reason, until, now }: DeployOptions): Promise<void> {
  const api = await cli.api();
  const body = { reason, isNow: now === true, ...(until === undefined ? {} : { until: until(cli.deps.clock.now()) }) };
  const refused: FloeError[] = [];
  for (const host of hosts) {
    try {
      confirm(cli, await suggestingHosts(api, host, () => api.post(`/api/hosts/${host}/deploy`, body, RolloutAnswer)));
    } catch (error) {
      if (!(error instanceof FloeError) || error.retryable) throw error;
      refused.push(error);
    }
  }
  const [first, ...rest] = refused;
  if (first === undefined) return;
  if (rest.length === 0) throw first;
  throw new FloeError(first.code, refused.map(({ message }) => message).join('\n'), { cause: first });
}

async function keep(cli: Cli, host: HostName, what: 'pin' | 'hold', body: object, { reason, until }: Options): Promise<void> {
  const api = await cli.api();
  const end = until === undefined ? {} : { until: until(cli.deps.clock.now()) };
  confirm(cli, await suggestingHosts(api, host, () => api.post(`/api/hosts/${host}/${what}`, { reason, ...body, ...end }, RolloutAnswer)));
}

export function confirm(cli: Cli, answer: RolloutAnswer): void {
  if (cli.options().json === true) cli.out.json(answer);
  else cli.out.print(answer.message);
}
