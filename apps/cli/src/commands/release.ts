import { CommitSha, ReleaseSubmitted } from '@floe/protocol';
import { FloeError } from '@floe/runtime';
import { InvalidArgumentError, type Command } from 'commander';
import * as v from 'valibot';
import { awaitRelease } from '../await-release.ts';
import type { Cli } from '../cli.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { readText } from '../read-text.ts';
import { parseReleaseFile } from '../release-file.ts';

/** More than any file of so many hosts as may be has. */
const MAX_CHARACTERS = 16 * 1024 * 1024;

interface Options {
  readonly commit?: CommitSha;
  readonly wait?: true;
  readonly ignoreRollbackScript?: true;
}

function commitArgument(text: string): CommitSha {
  const parsed = v.safeParse(CommitSha, text.toLowerCase());
  if (!parsed.success) throw new InvalidArgumentError('give the whole id of the commit: 40 hex digits');
  return parsed.output;
}

/** Releases from elsewhere: a CI built the systems already. */
export function addRelease(program: Command, cli: Cli): void {
  const release = program.command('release').description('release systems that were built elsewhere, e.g. by a CI');
  release
    .command('submit')
    .description('roll out the systems of a file: hosts and their store paths')
    .argument('<file>', 'JSON: { "HOST": "/nix/store/…" }, or a deploy.json of Cachix Deploy; - for the standard input')
    .option('--commit <sha>', 'the commit of the tracked branch that they were built from: it gets the statuses', commitArgument)
    .option('--wait', 'show the rollout until it is over, and end with its outcome')
    .option('--ignore-rollback-script', 'take a deploy.json that names a rollbackScript, which Floe does not run')
    .addHelpText(
      'after',
      `
Nothing is evaluated or built. Each path must be a NixOS system for its host's platform, in the store of the server or in its cache, signed
there by the cache's key. The server publishes and signs them, and rolls them out as any commit, under the policy of the newest published
one. Hosts that are not in the file keep their last release. One bad entry refuses the whole file. A newer commit supersedes it, as it
would an older one. The same file again is nothing new while nothing newer came. With --commit, a job of an older commit than the one
that is released, or being built, is refused; without it, the file takes the hosts back.

It needs a token of the role submitter, or of an administrator. Without --wait it waits half a minute for the server to take the file. With
--wait, ${EXIT_CODES.ok} means that the rollout is complete. It ends with ${EXIT_CODES.failed}, and says which, when

  the server refused the file: no host was told anything. Mend what is named, and submit again
  the rollout paused: "floe rollout" says why. Once a person resumes it, it goes on without the job
  a person aborted it: submit or push a fix
  something newer superseded it: there is nothing to do

${EXIT_CODES.usage}: the file or the command is wrong; ${EXIT_CODES.unauthorized}: the token is; ${EXIT_CODES.unreachable}: the server does not answer; ${EXIT_CODES.notFound}: no such host.

Examples:
  $ floe release submit systems.json --commit "$GITHUB_SHA" --wait
  $ nix eval --json .#systems | floe release submit -
  $ floe release submit deploy.json`,
    )
    .action(async (file: string, options: Options) => {
      await submit(cli, file, options);
    });
}

async function submit(cli: Cli, file: string, { commit, wait, ignoreRollbackScript }: Options): Promise<void> {
  const { out, deps } = cli;
  const isJson = cli.options().json === true;
  const name = file === '-' ? 'the standard input' : file;
  const { systems, hasRollbackScript } = parseReleaseFile(await readText(file, deps.stdin, MAX_CHARACTERS), name);
  if (hasRollbackScript && ignoreRollbackScript !== true)
    throw new FloeError(
      'USAGE',
      `${name} names a rollbackScript, which Floe does not run: make it a health check of the host (services.floe.agent.healthChecks), then give --ignore-rollback-script`,
    );
  const api = await cli.api();
  const answer = await api.post('/api/releases', { systems, ...(commit === undefined ? {} : { commit }) }, ReleaseSubmitted);
  if (!isJson) out.print(answer.message);
  const news = await awaitRelease(cli, api, answer.id, wait === true);
  if (news.kind === 'failed') cli.exitCode = EXIT_CODES.failed;
  if (isJson) out.json({ ...answer, outcome: news.kind, message: news.text, server: news.seen });
  else out.print(news.text);
}
