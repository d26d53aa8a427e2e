import type { HostName, Look } from '@floe/model';
import { NO_EVAL_CACHE } from './answer.ts';
import type { RepositoryCommand } from './command.ts';
import type { ReadLimits } from './evaluate-flake.ts';
import { followingLinks } from './followed-links.ts';
import { configOf, hostExpression, isNotOurs, readHostAnswer, type HostAnswer } from './host-answer.ts';

/** What an evaluation of a host yields, and all that it took of the repository. */
export interface HostTrace {
  readonly answer: Omit<HostAnswer, 'kind'>;
  readonly looks: ReadonlySet<Look>;
}

export interface TraceOptions extends ReadLimits {
  /** The folder of the repository's files on this disk, by its store path. */
  readonly filePath: (path: string) => string;
}

/**
 * Evaluates a host as {@link evaluateHosts} does, and records which files it looks at. That takes about twice as long. Undefined: it could not be
 * evaluated, or recorded as a whole.
 */
export async function traceHost(
  command: RepositoryCommand,
  flakeUrl: string,
  host: HostName,
  { filePath, ...limits }: TraceOptions,
): Promise<HostTrace | undefined> {
  await command.keepRepository(flakeUrl, limits);
  const root = command.rootOf(flakeUrl);
  if (root === undefined) return undefined;
  const expression = hostExpression(configOf(command, flakeUrl, host));
  const traced = await command.trace(['--json', ...NO_EVAL_CACHE, '--expr', expression], root, limits);
  if (traced === undefined || isNotOurs(traced.stdout)) return undefined;
  // One that has not seen this has not seen the others either: Nix reads in another way here.
  if (![...traced.looks].some((look) => look.startsWith('read ') && look.endsWith(command.hostsFile ?? 'flake.nix'))) return undefined;
  const answer = readHostAnswer(traced.stdout);
  if (answer.kind !== 'evaluated') return undefined;
  const { kind: _, ...own } = answer;
  return { answer: own, looks: await followingLinks(traced.looks, filePath(root)) };
}
