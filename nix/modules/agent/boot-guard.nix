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
      # Also of a start that ends in a shell for its administrator: there is nobody at most of these machines.
      wantedBy = [
        "multi-user.target"
        "emergency.target"
        "rescue.target"
      ];

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

      # No fence: it makes another system what the machine boots, and restarts it.
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        # A script that the agent which staged the system wrote: it needs none of the new system's programs.
        ExecStart = "${pkgs.runtimeShell} /var/lib/floe-agent/boot-guard";
        # Its way back waits for others, is tried twice, and the boot loader is told.
        TimeoutStartSec = 4 * cfg.switchTimeoutSeconds + 120;
        UMask = "0077";
      };
    };
  };
}
