import { HOSTS, type Host } from './plan.ts';

/** The effect of a host's file in a commit. */
export interface HostContent {
  readonly state: 'good' | 'broken' | 'unbuildable' | 'unhealthy';
  /** In /etc/motd of the system, if any. */
  readonly text: string;
}

export type Tree = Readonly<Record<Host, HostContent>>;

/** One commit as the test made it. */
export interface TrueCommit {
  readonly sha: string;
  readonly tree: Tree;
  /** Its author line is odd: the commit is either accepted completely, or refused with a reason. */
  readonly isOdd: boolean;
}

/** The file of a host. */
export function hostFile({ state, text }: HostContent): string {
  const motd = `environment.etc."motd" = "${text}";`;
  switch (state) {
    case 'good':
      return `{ config, ... }: { ${motd} }\n`;
    case 'broken':
      return `{ config, ... }: { environment.etc."motd" = throw "${text} is broken"; }\n`;
    case 'unbuildable':
      return `{ config, ... }: { ${motd} environment.etc."x" = "a file"; environment.etc."x/y" = "so x is no folder"; }\n`;
    case 'unhealthy':
      return `{ config, ... }: { ${motd} floe.healthChecks."never" = { command = "exit 1"; }; }\n`;
  }
}

/**
 * The systems that the machines may run, by the pushes so far. A host that is fine at the head runs exactly the head's system.
 * Another keeps an earlier one: which one depends on the commits that were superseded.
 */
export class Truth {
  readonly #history: TrueCommit[] = [];
  readonly #kept: Record<Host, Set<string>> = { ada: new Set(), bob: new Set(), cyd: new Set() };

  get head(): TrueCommit {
    const head = this.#history.at(-1);
    if (head === undefined) throw new Error('nothing was pushed yet');
    return head;
  }

  get beforeHead(): TrueCommit | undefined {
    return this.#history.at(-2);
  }

  pushed(commit: TrueCommit): void {
    this.#history.push(commit);
    for (const host of HOSTS) if (commit.tree[host].state === 'good') this.#kept[host].add(commit.tree[host].text);
  }

  /** The branch lost its last commit, whose systems may already have been sent. */
  lost(): void {
    this.#history.pop();
  }

  /** The possible contents of the host's folder. */
  allowed(host: Host): ReadonlySet<string> {
    const { tree, isOdd } = this.head;
    return tree[host].state === 'good' && !isOdd ? new Set([tree[host].text]) : this.#kept[host];
  }

  /** The observed content of the folder: nothing older may return. */
  settled(host: Host, text: string): void {
    this.#kept[host] = new Set([text]);
  }

  hostsThatAre(state: HostContent['state']): Host[] {
    return HOSTS.filter((host) => this.head.tree[host].state === state);
  }
}
