import type { RepositoryCommand } from './command.ts';
import { commandFailed } from './failure.ts';

const TIMEOUT_MS = 120_000;

/** The source files and folders of a derivation and of all its inputs, without derivations and outputs. */
export async function sourcesOf(command: RepositoryCommand, drvPath: string): Promise<readonly string[]> {
  const { result, log, isOk } = await command.run('nix-store', ['--query', '--requisites', drvPath], { timeoutMs: TIMEOUT_MS });
  if (!isOk) throw commandFailed(`reading what ${drvPath} is built from`, log, result);
  return result.stdout.split('\n').filter((path) => path.startsWith('/nix/store/') && !path.endsWith('.drv'));
}
