import { describeError, FloeError } from '@floe/runtime';
import * as v from 'valibot';
import type { TextSource } from '../cli.ts';
import { readText } from '../read-text.ts';
import { candidatesOf, OwnEntries, type FleetSource } from './fleet-source.ts';

const FromElsewhere = v.strictObject({
  floe: v.optional(v.unknown()),
  hosts: v.optional(OwnEntries),
  checks: v.optional(v.array(v.string())),
});

/** A policy of this size was refused long before. */
const MAX_CHARACTERS = 64 * 1024 * 1024;

/**
 * Reads a fleet from JSON that Nix printed elsewhere: `{ "floe": …, "hosts": { NAME: { "labels": […], "ring": …, "timeZone": … } } }`, or only what
 * `nix eval --json .#floe` prints. `-` is stdin.
 */
export async function readFleetFile(file: string, stdin: TextSource): Promise<FleetSource> {
  const name = file === '-' ? 'the standard input' : file;
  const text = await readText(file, stdin, MAX_CHARACTERS);
  let data: unknown;
  try {
    data = JSON.parse(text);
  } catch (cause) {
    throw new FloeError('USAGE', `${name} is not JSON: ${describeError(cause)}`, { cause });
  }
  // No policy has such a key.
  const isWhole = typeof data === 'object' && data !== null && Object.hasOwn(data, 'floe');
  if (!isWhole) return { policy: data, hosts: undefined, checks: undefined, problems: [], notes: [] };
  const read = v.safeParse(FromElsewhere, data);
  if (!read.success) {
    const [issue] = read.issues;
    throw new FloeError('USAGE', `${name}: ${v.getDotPath(issue) ?? 'the file'}: ${issue.message} (see: floe policy check --help)`);
  }
  const { floe, hosts, checks } = read.output;
  const candidates = hosts === undefined ? undefined : candidatesOf(hosts);
  return {
    // Nix has no undefined: the command of the help prints null where the flake has no such output.
    policy: floe ?? undefined,
    hosts: candidates?.hosts,
    checks: checks === undefined ? undefined : new Set(checks),
    problems: candidates?.problems ?? [],
    notes: candidates?.notes ?? [],
  };
}
