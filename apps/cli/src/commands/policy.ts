import { stat } from 'node:fs/promises';
import { comparePolicies, gatesInWords, idleGatesInWords, withKnownHosts, type PolicyInForce } from '@floe/model';
import { FloeError, isFloeError } from '@floe/runtime';
import type { Command } from 'commander';
import { viewOf, type Cli, type Output } from '../cli.ts';
import { EXIT_CODES } from '../exit-codes.ts';
import { checkPolicy, type PolicyCheck } from '../policy/check.ts';
import type { FleetSource } from '../policy/fleet-source.ts';
import { readFleetFile } from '../policy/read-file.ts';
import { readFlake } from '../policy/read-flake.ts';
import { fleetLines, formatPolicy, formatPolicyChanges, membersInOrder, movedHosts } from '../view/policy.ts';
import { formatBlock } from '../view/terminal.ts';

interface CheckOptions {
  readonly against?: string;
  readonly namesOnly?: boolean;
}

export function addPolicy(program: Command, cli: Cli): void {
  const policy = program.command('policy').description('how commits are rolled out: the rings of the fleet and their gates');
  policy
    .command('check')
    .description('check a policy before it is pushed, and show who is in which ring, and why')
    .argument('[from]', 'the folder of the flake, or a file with its JSON, or - for the standard input', '.')
    .option('--against <revision>', 'also show what changes since this git revision; with a file, since another file')
    .option('--names-only', 'leave out the labels and rings in the configurations of the hosts: much faster with many hosts')
    .addHelpText(
      'after',
      `
It asks no server, so it does not know the floor of a server's settings, nor the policy of the last complete rollout there: a policy
without problems may still be below that floor, or wait for an administrator as weaker. Nor does it know the server's platform, for which
the server builds the policy's checks: notes say for which ones a check is missing. The folder is read with Nix, as it is now, and
without files that git does not know. Problems are what the server refuses, and what would keep a ring from ever changing; then it ends
with 1. Notes are what is probably not meant.

Where there is no Nix, check a file that was made elsewhere, in the folder of the flake:
  $ nix eval --json --impure --expr 'let flake = builtins.getFlake (toString ./.); in {
      floe = flake.floe or null;
      hosts = builtins.mapAttrs (_: host: let agent = host.config.services.floe.agent or { }; in
        { labels = agent.labels or [ ]; ring = agent.ring or null;
          timeZone = host.config.time.timeZone or null; }) flake.nixosConfigurations;
    }' > fleet.json

Examples:
  $ floe policy check
  $ floe policy check --against origin/main
  $ floe policy check fleet.json --against fleet-before.json
  $ floe policy check --json | jq -r '.hosts[] | [.host, .ring, .why] | @tsv'`,
    )
    .action((from: string, options: CheckOptions) => check(cli, from, options));
}

async function check(cli: Cli, from: string, options: CheckOptions): Promise<void> {
  const { out, deps } = cli;
  const { against } = options;
  const now = deps.clock.now();
  const read = await readerOf(cli, from, options.namesOnly !== true);
  const checked = checkPolicy(await read(from, undefined), now);
  const before = against === undefined ? undefined : await checkBefore(async () => checkPolicy(await read(against, against), now), against, out);
  // A host that was renamed moves with its former name.
  const was = before?.read === undefined || checked.read === undefined ? undefined : withKnownHosts(before.read, checked.read, []);
  if (checked.problems.length > 0) cli.exitCode = EXIT_CODES.failed;
  if (cli.options().json === true) {
    out.json(asJson(checked, was));
    return;
  }
  for (const problem of checked.problems) out.note(problem);
  const view = viewOf(cli);
  const parts: string[] = [];
  if (checked.read !== undefined) parts.push(formatPolicy(checked.read, checked.knowsHosts, view));
  if (checked.notes.length > 0) parts.push(`${view.style('busy', 'Notes')}\n${formatBlock(checked.notes.join('\n'))}`);
  if (checked.read !== undefined && was !== undefined && against !== undefined) parts.push(formatPolicyChanges(was, checked.read, against, view));
  if (parts.length > 0) out.print(parts.join('\n\n'));
}

/** The fleet before a change may be what the change repairs. */
async function checkBefore(look: () => Promise<PolicyCheck>, against: string, out: Output): Promise<PolicyCheck | undefined> {
  let problems: readonly string[];
  try {
    const checked = await look();
    if (checked.read !== undefined) return checked;
    ({ problems } = checked);
  } catch (error) {
    if (!isFloeError(error, 'NIX_FAILED') && !isFloeError(error, 'POLICY_INVALID')) throw error;
    problems = [error.message];
  }
  out.note([`nothing to compare: the policy of ${against} cannot be read:`, ...problems].join('\n'));
  return undefined;
}

/** Reads what `from` is, and the same kind for `--against`. */
async function readerOf(
  { deps, out }: Cli,
  from: string,
  readsHosts: boolean,
): Promise<(from: string, rev: string | undefined) => Promise<FleetSource>> {
  if (from === '-' || (await isFile(from))) return async (file) => await readFleetFile(file, deps.stdin);
  const onHosts = (count: number): void => {
    if (count >= MANY_HOSTS) out.note(`reads the configurations of ${count} hosts; --names-only leaves them out`);
  };
  return async (_, rev) => await readFlake(deps, from, rev, { readsHosts, onHosts });
}

/** So many take minutes. */
const MANY_HOSTS = 50;

async function isFile(path: string): Promise<boolean> {
  try {
    return !(await stat(path)).isDirectory();
  } catch (cause) {
    throw new FloeError('USAGE', `there is no ${path}: name the folder of the flake, or a file with its JSON`, { cause });
  }
}

function asJson({ problems, notes, read }: PolicyCheck, was: PolicyInForce | undefined): unknown {
  const changes = read === undefined || was === undefined ? {} : { changes: comparePolicies(was, read), moved: movedHosts(was, read) };
  return {
    problems,
    notes,
    rings: read?.policy.rings.map((ring) => ({ name: ring.name, gates: gatesInWords(ring), idle: idleGatesInWords(ring) })) ?? [],
    fleet: read === undefined ? [] : fleetLines(read),
    hosts: read === undefined ? [] : membersInOrder(read),
    ...changes,
  };
}
