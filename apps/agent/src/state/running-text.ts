import { isCommit, type CommitSha, type HostName, type StorePath } from '@floe/model';
import type { KnownRelease } from './known-releases.ts';

/** What runs on this machine, and which commit it was released with. */
export interface Running {
  readonly toplevel: StorePath;
  /** Null: a system that no commit has, or that the agent was never told to run. */
  readonly commit: CommitSha | null;
  readonly sequence: number | null;
  readonly repository: string | null;
  readonly ref: string | null;
}

export function runningOf(toplevel: StorePath | null, release: KnownRelease | undefined): Running | null {
  if (toplevel === null) return null;
  if (release === undefined) return { toplevel, commit: null, sequence: null, repository: null, ref: null };
  const { commit, sequence, repository, ref } = release;
  return { toplevel, commit: isCommit(commit) ? commit : null, sequence, repository, ref };
}

/** The file for programs of the machine. */
export function runningJson(host: HostName, running: Running | null): string {
  const { toplevel = null, commit = null, sequence = null, repository = null, ref = null } = running ?? {};
  return `${JSON.stringify({ host, toplevel, commit, sequence, repository, ref })}\n`;
}

/** The same in the text format of Prometheus. An unknown commit is an empty label, which is as none there. */
export function runningMetrics(host: HostName, running: Running | null): string {
  const labels = {
    host,
    commit: running?.commit,
    sequence: running?.sequence,
    ref: running?.ref,
    repository: running?.repository,
    toplevel: running?.toplevel,
  };
  const text = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value ?? ''))}"`);
  return [
    '# HELP floe_agent_running_info The system that this machine runs, and the commit that it was released with.',
    '# TYPE floe_agent_running_info gauge',
    `floe_agent_running_info{${text.join(',')}} 1`,
    '',
  ].join('\n');
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
