import type { Machine } from '../machine.ts';
import type { TargetConfig } from './config.ts';
import { darwinRules } from './darwin.ts';
import { homeManagerRules } from './home-manager.ts';
import { plainProfileRules } from './plain-profile.ts';
import { TargetMachine, type TargetDeps } from './target-machine.ts';

/** The machine for the configured target; `nixos` makes the one for NixOS. */
export function createTargetMachine(config: TargetConfig, deps: TargetDeps & { readonly nixos: () => Machine }): Machine {
  const { root, stateDir } = deps;
  switch (config.kind) {
    case 'nixos':
      return deps.nixos();
    case 'darwin':
      return new TargetMachine(deps, darwinRules({ ...config, root }));
    case 'home-manager':
      return new TargetMachine(deps, homeManagerRules({ ...config, root }));
    case 'profile':
      return new TargetMachine(deps, plainProfileRules({ ...config, stateDir }));
  }
}
