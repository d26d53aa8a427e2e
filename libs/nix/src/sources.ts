import type { RepositoryCommand } from './command.ts';
import { commandFailed } from './failure.ts';

const TIMEOUT_MS = 120_000;

/** The files and folders that a derivation is built from, with all that its inputs are built from: no derivations, no outputs. */
export async function sourcesOf(command: RepositoryCommand, drvPath: string): Promise<readonly string[]> {
  const { result, log, isOk } = await command.run('nix-store', ['--query', '--requisites', drvPath], { timeoutMs: TIMEOUT_MS });
  if (!isOk) throw commandFailed(`reading what ${drvPath} is built from`, log, result);
  return result.stdout.split('\n').filter((path) => path.startsWith('/nix/store/') && !path.endsWith('.drv'));
}
