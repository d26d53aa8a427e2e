# Shows users on their desktop what the agent is about to do, and takes their response. Runs as each user.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.floe.agent;
in
{
  config = lib.mkIf (cfg.enable && cfg.notifications.enable) {
    systemd.user.services.floe-agent-notify = {
      description = "Floe: what is about to change on this machine";
      documentation = [ "https://github.com/floe-fleet/floe" ];
      wantedBy = [ "graphical-session.target" ];
      partOf = [ "graphical-session.target" ];
      after = [ "graphical-session.target" ];
      path = [ pkgs.libnotify ];

      # Other users may not use the agent's socket.
      unitConfig.ConditionGroup = cfg.userGroup;

      serviceConfig = {
        ExecStart = "${lib.getExe' cfg.package "floe-agent"} notify";
        Restart = "on-failure";
        RestartSec = 10;
        NoNewPrivileges = true;
        LockPersonality = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        SystemCallArchitectures = "native";
        RestrictAddressFamilies = "AF_UNIX";
      };
    };
  };
}
