import { HOSTS, type Host } from './plan.ts';

/** What a host's file of a commit makes of it. */
export interface HostContent {
  readonly state: 'good' | 'broken' | 'unbuildable' | 'unhealthy';
  /** In /etc/motd of the system, where there is one. */
  readonly text: string;
}

export type Tree = Readonly<Record<Host, HostContent>>;

/** One commit as the test made it. */
export interface TrueCommit {
  readonly sha: string;
  readonly tree: Tree;
  /** Its author line is odd: it is taken for what it holds, or refused in one sentence; nothing in between. */
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
 * What the machines may run, by what was pushed. A host that is well at the head runs the head's system and nothing
 * else. One that is not keeps a system of before: which one depends on which commits were overtaken.
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

  /** The branch lost its last commit; its systems may have been on their way. */
  lost(): void {
    this.#history.pop();
  }

  /** What the folder of the host may hold. */
  allowed(host: Host): ReadonlySet<string> {
    const { tree, isOdd } = this.head;
    return tree[host].state === 'good' && !isOdd ? new Set([tree[host].text]) : this.#kept[host];
  }

  /** What the folder was seen to hold: nothing older comes back. */
  settled(host: Host, text: string): void {
    this.#kept[host] = new Set([text]);
  }

  hostsThatAre(state: HostContent['state']): Host[] {
    return HOSTS.filter((host) => this.head.tree[host].state === state);
  }
}
