import { join } from 'node:path';
import type { Observed, StorePath } from '@floe/model';
import type { Nix } from '@floe/nix';
import type { Exec } from '@floe/runtime';
import type { CommandPlace, DownloadOptions, KeptPath, Machine, SwitchAction, SwitchOutcome, UnfinishedSwitch } from './machine.ts';
import { describeSwitch } from './switch-outcome.ts';
import { switchUnit } from './switch-unit.ts';
import { freeBytesAt, observeLinks, readBelow } from './system-files.ts';

export interface NixosMachineDeps {
  /** Where the links are that keep store paths alive. */
  readonly roots: string;
  readonly exec: Exec;
  /** Loaded when it is first needed: an idle agent has no use for it. */
  readonly nix: () => Promise<Nix>;
  readonly env: NodeJS.ProcessEnv;
}

const PROFILE = '/nix/var/nix/profiles/system';

/** The NixOS machine that the agent runs on, as root. */
export class NixosMachine implements Machine {
  readonly switchesOutliveAgent = true;
  readonly #deps: NixosMachineDeps;

  constructor(deps: NixosMachineDeps) {
    this.#deps = deps;
  }

  async observe(): Promise<Observed> {
    return await observeLinks('');
  }

  async download(path: StorePath, options: DownloadOptions): Promise<void> {
    const nix = await this.#deps.nix();
    await nix.realise(path, { root: this.#root('next'), ...options });
  }

  async isValid(path: StorePath): Promise<boolean> {
    return await (await this.#deps.nix()).isValid(path);
  }

  async keep(as: KeptPath, path: StorePath): Promise<void> {
    await (await this.#deps.nix()).addRoot(this.#root(as), path);
  }

  async letGo(as: KeptPath): Promise<void> {
    await (await this.#deps.nix()).removeRoot(this.#root(as));
  }

  async freeBytes(): Promise<number> {
    return await freeBytesAt('/nix/store');
  }

  async switchTo(path: StorePath, action: SwitchAction, signal: AbortSignal): Promise<SwitchOutcome> {
    const unit = switchUnit(this.#deps);
    // Of an earlier run of the agent, perhaps: two switches at once would tear each other's units down.
    await unit.settled(signal);
    return describeSwitch(action, await unit.run(path, action, signal));
  }

  async unfinishedSwitch(path: StorePath, signal: AbortSignal): Promise<UnfinishedSwitch> {
    const result = await switchUnit(this.#deps).resultOf(path, 'test', signal);
    return result === undefined ? { kind: 'unknown' } : { kind: 'ended', outcome: describeSwitch('test', result) };
  }

  async setProfile(path: StorePath): Promise<void> {
    await (await this.#deps.nix()).setProfile(PROFILE, path);
  }

  async failedUnits(): Promise<readonly string[]> {
    const { exec, env } = this.#deps;
    const result = await exec('systemctl', ['list-units', '--state=failed', '--plain', '--no-legend', '--no-pager', '--full'], {
      env,
      timeoutMs: 30_000,
    });
    const names = result.stdout.split('\n').map((line) => line.trim().split(/\s+/)[0] ?? '');
    return names.filter((name) => name !== '');
  }

  async readSystemFile(path: StorePath, file: string): Promise<string | undefined> {
    return await readBelow('', `${path}/${file}`);
  }

  place(command: readonly [string, ...string[]]): CommandPlace {
    const [file, ...args] = command;
    return { file, args, env: this.#deps.env };
  }

  #root(as: KeptPath): string {
    return join(this.#deps.roots, as);
  }
}
