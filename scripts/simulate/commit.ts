import type { HostName, RolloutPolicy, StorePath } from '@floe/model';
import type { EvaluationRow } from '@floe/store';

/** A host as its configuration in the flake says. */
export interface FlakeHost {
  readonly host: HostName;
  readonly labels: readonly string[];
  readonly timeZone: string;
  /** The ring that it names itself. */
  readonly ring?: string | undefined;
  readonly formerHost?: HostName | undefined;
}

/** What a commit has. */
export interface Commit {
  /** The hosts that have another system than before, and which. */
  readonly changed: ReadonlyMap<HostName, StorePath>;
  /** All hosts of its flake. */
  readonly hosts: readonly FlakeHost[];
  readonly policy: RolloutPolicy;
}

/** As the pipeline finds it: compared with the last release that each name ever had. */
export function evaluate({ changed, hosts }: Commit, last: ReadonlyMap<HostName, StorePath | undefined>): readonly EvaluationRow[] {
  const there = new Set(hosts.map(({ host }) => host));
  const removed = [...last.keys()].filter((host) => !there.has(host));
  return [
    ...hosts.map((each): EvaluationRow => {
      const before = last.get(each.host);
      const toplevel = changed.get(each.host);
      const outcome = before === undefined ? 'NEW' : toplevel === undefined || toplevel === before ? 'UNCHANGED' : 'CHANGED';
      return { ...each, outcome, toplevel: toplevel ?? before, system: 'x86_64-linux' };
    }),
    ...removed.map((host): EvaluationRow => ({ host, outcome: 'REMOVED' })),
  ];
}
