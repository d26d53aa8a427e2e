import { schemaProblems } from '@floe/protocol';
import { describeError, FloeError } from '@floe/runtime';
import * as v from 'valibot';
import type { TextSource } from '../cli.ts';
import { readText } from '../read-text.ts';
import { candidatesOf, type FleetSource } from './fleet-source.ts';

const FromElsewhere = v.strictObject({
  floe: v.optional(v.unknown()),
  hosts: v.optional(v.unknown()),
  checks: v.optional(v.array(v.string('is not the name of a flake check: write "unit"'), 'is not a list of names of flake checks: write [ "unit" ]')),
});
/** What is in them is looked at with the configurations of hosts. */
const OwnSettings = v.strictObject({
  labels: v.optional(v.unknown()),
  ring: v.optional(v.unknown()),
  timeZone: v.optional(v.unknown()),
  formerHost: v.optional(v.unknown()),
});
const MAX_MISTAKES = 10;

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
  // No policy has such keys.
  const isWhole = typeof data === 'object' && data !== null && (Object.hasOwn(data, 'floe') || Object.hasOwn(data, 'hosts'));
  if (!isWhole) return { policy: data, hosts: undefined, checks: undefined, problems: [], notes: [] };
  const read = v.safeParse(FromElsewhere, data);
  const entries = read.success && isSet(read.output.hosts) ? Object.entries(read.output.hosts) : undefined;
  const mistakes = [
    ...schemaProblems(FromElsewhere, data),
    ...(read.success && entries === undefined && read.output.hosts !== undefined ? ['hosts: is not a set of hosts: write { "ws1": { } }'] : []),
    // A host may be called `constructor`.
    ...(entries ?? []).flatMap(([host, own]) => schemaProblems(OwnSettings, own, ['hosts', host])),
  ].slice(0, MAX_MISTAKES);
  if (!read.success || mistakes.length > 0) throw new FloeError('USAGE', `${name}: ${mistakes.join('\n')} (see: floe policy check --help)`);
  const { floe, checks } = read.output;
  const candidates = entries === undefined ? undefined : candidatesOf(entries.map(([host, own]) => [host, v.parse(OwnSettings, own)]));
  return {
    // Nix has no undefined: the command of the help prints null where the flake has no such output.
    policy: floe ?? undefined,
    hosts: candidates?.hosts,
    checks: checks === undefined ? undefined : new Map(checks.map((check) => [check, []])),
    problems: candidates?.problems ?? [],
    notes: candidates?.notes ?? [],
  };
}

function isSet(data: unknown): data is object {
  return typeof data === 'object' && data !== null && !Array.isArray(data);
}
