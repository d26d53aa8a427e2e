import { readFile } from 'node:fs/promises';
import * as v from 'valibot';
import { tryParseAnswer } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import type { DerivationFacts } from './derivations.ts';

/** A machine that may build, with its settings in Nix. */
export interface BuildMachine {
  readonly isRemote: boolean;
  readonly systems: readonly string[];
  readonly features: readonly string[];
}

const Words = v.union([
  v.array(v.string()),
  v.pipe(
    v.string(),
    v.transform((text) => text.split(/\s+/).filter((word) => word !== '')),
  ),
]);
const Settings = v.object({
  system: v.object({ value: v.string() }),
  'extra-platforms': v.optional(v.object({ value: Words }), { value: [] }),
  'system-features': v.optional(v.object({ value: Words }), { value: [] }),
  builders: v.optional(v.object({ value: v.string() }), { value: '' }),
  'max-jobs': v.optional(v.object({ value: v.union([v.number(), v.string()]) }), { value: 1 }),
});

const TIMEOUT_MS = 60_000;

/** The system that this machine builds for, e.g. `x86_64-linux`; undefined when Nix does not report it. */
export async function systemOf(command: RepositoryCommand, signal: AbortSignal): Promise<string | undefined> {
  const { result, isOk } = await command.run('nix', ['show-config', '--json'], { timeoutMs: TIMEOUT_MS, signal });
  return isOk ? tryParseAnswer(Settings, result.stdout)?.system.value : undefined;
}

/** This machine and the remote builders, from Nix's settings; undefined when Nix does not report them. */
export async function buildMachines(command: RepositoryCommand): Promise<readonly BuildMachine[] | undefined> {
  const { result, isOk } = await command.run('nix', ['show-config', '--json'], { timeoutMs: TIMEOUT_MS });
  const settings = isOk ? tryParseAnswer(Settings, result.stdout) : undefined;
  if (settings === undefined) return undefined;
  const systems = [settings.system.value, ...settings['extra-platforms'].value];
  const local: BuildMachine = { isRemote: false, systems, features: settings['system-features'].value };
  const remote = await remoteMachines(settings.builders.value, settings.system.value);
  return settings['max-jobs'].value === 0 ? remote : [local, ...remote];
}

/** A file that includes a further file, which Nix does not follow either. */
function isNested(text: string): boolean {
  return text.split('\n').some((line) => line.trimStart().startsWith('@'));
}

/** The syntax of nix.conf(5), `builders`: machines separated by `;` or newlines, or `@file`. */
export async function remoteMachines(builders: string, ownSystem: string): Promise<BuildMachine[]> {
  const machines: BuildMachine[] = [];
  for (const line of builders.split(/[;\n]/).map((text) => text.replace(/#.*/, '').trim())) {
    if (line === '') continue;
    if (line.startsWith('@')) {
      const text = await readFile(line.slice(1), 'utf8').catch(() => '');
      machines.push(...(isNested(text) ? [] : await remoteMachines(text, ownSystem)));
      continue;
    }
    const [, systems = '-', , , , features = '-', mandatory = '-'] = line.split(/\s+/);
    const list = (text: string): string[] => (text === '-' ? [] : text.split(',').filter((word) => word !== ''));
    machines.push({
      isRemote: true,
      systems: systems === '-' ? [ownSystem] : list(systems),
      features: [...list(features), ...list(mandatory)],
    });
  }
  return machines;
}

/** Whether a machine may build the derivation, by its settings. */
export function canBuild({ systems, features }: BuildMachine, { system, requiredFeatures }: DerivationFacts): boolean {
  return (system === 'builtin' || systems.includes(system)) && requiredFeatures.every((feature) => features.includes(feature));
}
