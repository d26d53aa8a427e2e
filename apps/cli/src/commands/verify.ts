import { createReadStream } from 'node:fs';
import { FloeError } from '@floe/runtime';
import type { Command } from 'commander';
import { viewOf, type Cli } from '../cli.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { judgeCommits } from '../verify/judge-commits.ts';
import { judgeFleet } from '../verify/judge-fleet.ts';
import { readPinnedKeys } from '../verify/pinned-keys.ts';
import { readExport } from '../verify/read-export.ts';
import { formatChecked } from '../view/verify.ts';

interface VerifyOptions {
  readonly key: readonly string[];
  readonly repository?: string;
  readonly signers?: string;
}

const asList = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

export function addVerify(program: Command, cli: Cli): void {
  program
    .command('verify')
    .description('check an export without a server, and name what was bent')
    .argument('<export>', 'the file that floe export wrote')
    .requiredOption('--key <file>', 'the keys that you trust, from a file of your own; may be repeated', asList)
    .option('--repository <dir>', 'also check that the commits of releases are in this git repository, on the branch, in order')
    .option(
      '--signers <file>',
      'with --repository: also check that one of these signed each commit since the first release (an allowed_signers file of SSH)',
    )
    .addHelpText(
      'after',
      `
Checked are all signatures, the chains of the export and of the audit log, sequences, which commit each release is of, whether
each host signed that it runs what was released for it, and the permits of those that went back. It asks no server. No key is
taken from the export.

A file of keys has one on each line: "release NAME:KEY", "server NAME:KEY" or "host NAME:KEY", with what your hosts pin
(services.floe.agent, in your repository). A builder's public-keys.json has its release keys: name it beside the file with the
server's. The server vouches for the keys of hosts, unless they are pinned here.

Exit status: ${EXIT_CODES.ok} when all of it is whole, ${EXIT_CODES.failed} when something was bent, ${EXIT_CODES.usage} when the export, the keys or the repository cannot
be read. Notes change nothing of that: a host that is behind, or on a system that a user chose, is worth a look.

Examples:
  $ floe verify fleet.jsonl --key keys.txt
  $ floe verify fleet.jsonl --key keys.txt --repository ~/fleet --signers ~/fleet/allowed_signers`,
    )
    .action((path: string, options: VerifyOptions) => verify(cli, path, options));
}

async function verify(cli: Cli, path: string, { key, repository, signers }: VerifyOptions): Promise<void> {
  const { out, deps } = cli;
  if (signers !== undefined && repository === undefined) throw new FloeError('USAGE', '--signers needs --repository');
  const keys = await readPinnedKeys(key);
  const read = await readExport(piecesOf(path, deps.signal), keys);
  const { facts, findings, header } = read;
  if (read.hasEnd) judgeFleet(facts, keys, findings);
  const commits =
    repository === undefined || !read.hasEnd ? undefined : await judgeCommits(deps, { dir: repository, signersFile: signers }, facts, findings);
  if (findings.bentCount > 0) cli.exitCode = EXIT_CODES.failed;
  const releases = [...facts.releases.values()].reduce((sum, ofHost) => sum + ofHost.size, 0);
  const checked = {
    at: header?.at ?? null,
    repository: header?.repository ?? null,
    lines: read.lines,
    releases,
    hosts: facts.hosts.size,
    reports: facts.reports.length,
    auditEntries: read.auditEntries,
    commits: commits ?? null,
    isWhole: findings.bentCount === 0,
    bent: { count: findings.bentCount, named: findings.bent },
    notes: { count: findings.notesCount, named: findings.notes },
  };
  if (cli.options().json === true) out.json(checked);
  else out.print(formatChecked(checked, viewOf(cli)));
}

async function* piecesOf(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of createReadStream(path, { signal })) yield piece as Uint8Array;
  } catch (cause) {
    if (signal.aborted) throw new FloeError('INTERRUPTED', 'stopped', { cause });
    if (!(cause instanceof Error && 'code' in cause)) throw cause;
    throw new FloeError('USAGE', `${path} cannot be read (${String(cause.code)})`, { cause });
  }
}
