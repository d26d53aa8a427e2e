import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { AgentDetail, Observed, StorePath } from '@floe/model';
import type { Nix } from '@floe/nix';
import type { Exec } from '@floe/runtime';
import type { CommandPlace, Machine, SwitchAction, SwitchOptions, SwitchOutcome } from './machine.ts';
import { StoreBacked } from './store-backed.ts';
import { DEFAULT_SWITCH_LIMIT_MS, describeSwitch } from './switch-outcome.ts';
import { freeBytesAt } from './free-space.ts';
import { observeLinks } from './links.ts';
import { misfitOf } from './shape.ts';
import { readBelow, storeFilesBelow } from './store-files.ts';

export interface FolderMachineDeps {
  readonly root: string;
  /** Where the links are that keep store paths alive. */
  readonly roots: string;
  readonly exec: Exec;
  /** Loaded when it is first needed: an idle agent has no use for it. */
  readonly nix: () => Promise<Nix>;
  readonly env: NodeJS.ProcessEnv;
}

/** A folder that plays a machine: with a store, a profile and a current system of its own, and no services. */
export class FolderMachine extends StoreBacked implements Machine {
  readonly switchesOutliveAgent = false;
  readonly canTry = true;
  readonly watchdog = null;
  readonly boot = null;
  readonly #deps: FolderMachineDeps;

  constructor(deps: FolderMachineDeps) {
    super(deps);
    this.#deps = deps;
  }

  async observe(): Promise<Observed> {
    return await observeLinks(this.#deps.root);
  }

  async freeBytes(): Promise<number> {
    return await freeBytesAt(this.#deps.root);
  }

  async switchTo(path: StorePath, action: SwitchAction, { signal }: SwitchOptions): Promise<SwitchOutcome> {
    const { root, exec } = this.#deps;
    await mkdir(join(root, 'run'), { recursive: true });
    const { file, args, env } = this.place([`${path}/bin/switch-to-configuration`, action]);
    // The switch of a killed agent goes on; flock makes the next one wait for it.
    const result = await exec('flock', ['--close', join(root, 'run/switch.lock'), file, ...args], {
      env,
      cwd: root,
      signal,
      timeoutMs: DEFAULT_SWITCH_LIMIT_MS,
      beyondStdout: 'cut',
      keepsDaemons: true,
    });
    return describeSwitch(action, result);
  }

  async misfit(path: StorePath): Promise<AgentDetail | null> {
    return await misfitOf('nixos', storeFilesBelow(this.#deps.root), path);
  }

  async setProfile(path: StorePath): Promise<void> {
    await (await this.#deps.nix()).setProfile(join(this.#deps.root, 'nix/var/nix/profiles/system'), path);
  }

  async failedUnits(): Promise<null> {
    return await Promise.resolve(null);
  }

  async readSystemFile(path: StorePath, file: string): Promise<string | undefined> {
    return await readBelow(this.#deps.root, `${path}/${file}`);
  }

  place(command: readonly [string, ...string[]]): CommandPlace {
    const { root } = this.#deps;
    const [file, ...args] = command;
    return { file: file.startsWith('/nix/store/') ? `${root}${file}` : file, args, env: { ...this.#deps.env, NIXOS_ROOT: root } };
  }
}
