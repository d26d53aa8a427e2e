# Sees to it that a system which was staged for a restart, and does not prove itself, is not what the machine goes on
# booting. A unit of the old and of the new system, and not of the agent's: it does its work when the agent cannot start.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.floe.agent;
in
{
  config = lib.mkIf cfg.enable {
    systemd.services.floe-boot-guard = {
      description = "Floe: guard of a restart into a new system";
      documentation = [ "https://github.com/floe-fleet/floe" ];
      wantedBy = [ "multi-user.target" ];

      # As early as the state folder and the store can be read: what hangs later in the boot must not keep it away.
      after = [ "local-fs.target" ];
      before = [
        "floe-agent.service"
        "shutdown.target"
      ];
      conflicts = [ "shutdown.target" ];
      unitConfig = {
        DefaultDependencies = false;
        ConditionPathExists = "/var/lib/floe-agent/boot-guard";
        RequiresMountsFor = [
          "/var/lib/floe-agent"
          "/nix"
        ];
      };

      # About boots, not about switches.
      restartIfChanged = false;
      stopIfChanged = false;

      path = [
        config.nix.package
        config.systemd.package
        pkgs.coreutils
        pkgs.util-linux
        "/run/current-system/sw"
      ];

      # Its own settings alone: one of the agent's that is wrong must not keep it from its work.
      environment.FLOE_STATE_DIR = "/var/lib/floe-agent";
      environment.FLOE_SWITCH_TIMEOUT_SECONDS = toString cfg.switchTimeoutSeconds;

      # No fence: it makes another system what the machine boots, and restarts it.
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        ExecStart = "${lib.getExe' cfg.package "floe-agent"} boot-guard";
        TimeoutStartSec = cfg.switchTimeoutSeconds + 60;
        UMask = "0077";
      };
    };
  };
}
