# Other services that would switch this machine. Two of them revert each other's switches, and each takes those for a user's.
{ config, lib, ... }:
let
  cfg = config.services.floe.agent;

  refused = option: who: isOn: {
    assertion = !isOn;
    message = "${option} is on beside services.floe.agent: ${who} and floe-agent would both switch this machine. Set ${option} = false, or leave this machine to ${who} and turn services.floe.agent.enable off";
  };
in
{
  # "or false": a machine has only the options of its own NixOS and of the modules that it imports.
  config = lib.mkIf cfg.enable {
    assertions = [
      (refused "system.autoUpgrade.enable" "nixos-upgrade.service" (config.system.autoUpgrade.enable or false))
      (refused "system.autoDeploy.enable" "nixos-autodeploy" (config.system.autoDeploy.enable or false))
      (refused "services.comin.enable" "comin" (config.services.comin.enable or false))
      (refused "services.cachix-agent.enable" "cachix-agent" (config.services.cachix-agent.enable or false))
      (refused "services.npcnix.enable" "npcnix" (config.services.npcnix.enable or false))
      (refused "services.nixos-pull-deploy.autoUpgrade.enable" "nixos-pull-deploy" (config.services.nixos-pull-deploy.autoUpgrade.enable or false))
    ];
  };
}
