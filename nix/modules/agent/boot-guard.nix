# Goes back to the old system when a system that was staged for a restart gets no passed verdict. The old and the new system have
# this unit, and it does not need the agent, so that it works when the agent cannot start.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.floe.agent;
in
{
  config = lib.mkIf cfg.enable {
    systemd.services.floe-boot-guard = {
      description = "Floe: boot guard of a restart into a new system";
      documentation = [ "https://github.com/floe-fleet/floe" ];
      # Also when the boot ends in an emergency shell: most of these machines have no administrator nearby.
      wantedBy = [
        "multi-user.target"
        "emergency.target"
        "rescue.target"
      ];

      # As soon as the state folder and the store can be read, so that a later part of the boot that hangs cannot prevent it.
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

      # Not restricted: it sets the boot default, and restarts the machine.
      serviceConfig = {
        Type = "oneshot";
        RemainAfterExit = true;
        # A script by the agent that staged the system; it needs no programs of the new system.
        ExecStart = "${pkgs.runtimeShell} /var/lib/floe-agent/boot-guard";
        # For waiting for another switch, two tries to go back, and writing the boot loader.
        TimeoutStartSec = 4 * cfg.switchTimeoutSeconds + 120;
        UMask = "0077";
      };
    };
  };
}
