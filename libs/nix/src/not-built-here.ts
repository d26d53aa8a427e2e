import { buildMachines, type BuildMachine } from './build-machines.ts';
import type { RepositoryCommand } from './command.ts';
import { stopped } from './failure.ts';

/** What was evaluated for a host. */
export interface EvaluatedSystem {
  readonly drvPath: string;
  /** Nix's name for it, e.g. `x86_64-linux`. */
  readonly system: string;
}

/** The planning asks the caches for what they have. */
const TIMEOUT_MS = 5 * 60_000;
const ADVICE = 'name a remote builder in nix.buildMachines, or, for another architecture, set boot.binfmt.emulatedSystems on the server';

/** What is missing for a derivation that neither this machine nor a remote builder takes, for people. */
export function missingMachine(needs: string, machines: readonly BuildMachine[]): string {
  const here = machines.flatMap(({ isRemote, systems }) => (isRemote ? [] : systems)).join(', ') || 'no system';
  return `needs a machine of ${needs}; this server builds for ${here}, and no remote builder takes it: ${ADVICE}`;
}

/**
 * Why systems of other architectures are not built here, by derivation: no machine that is known builds for them, and no cache has them. Nothing is built.
 * Throws retryable NIX_STOPPED.
 */
export async function notBuiltHere(
  command: RepositoryCommand,
  targets: readonly EvaluatedSystem[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const found = new Map<string, string>();
  const machines = targets.length === 0 ? undefined : await buildMachines(command);
  if (machines === undefined) return found;
  for (const { drvPath, system } of targets) {
    if (machines.some(({ systems }) => systems.includes(system))) continue;
    const planned = await command.run('nix-store', ['--realise', '--dry-run', drvPath], { timeoutMs: TIMEOUT_MS, signal });
    if (signal.aborted) throw stopped('planning the builds');
    // One that fails here fails when it is built, with its reason.
    if (planned.isOk && planned.log.plannedBuilds.has(drvPath)) found.set(drvPath, missingMachine(system, machines));
  }
  return found;
}
