# The folder of the metrics file, which other programs may write into, too.
{ config, lib, ... }:
let
  cfg = config.services.floe.agent;

  # Without what systemd leaves out of paths.
  parts = lib.filter (part: builtins.isString part && part != "" && part != ".") (builtins.split "/" (dirOf cfg.metricsFile));
  folder = "/${lib.concatStringsSep "/" parts}";

  # The unit may write into the whole folder, so not into those that everything on the machine shares.
  shared = [
    "/"
    "/etc"
    "/mnt"
    "/opt"
    "/run"
    "/srv"
    "/usr"
    "/var"
    "/var/cache"
    "/var/lib"
    "/var/log"
  ];
  # And in these nobody else sees the file (ProtectHome, PrivateTmp, the agent's own folder), or nothing of the kind belongs.
  closed = [
    "/boot"
    cfg.bootMountPoint
    "/dev"
    "/home"
    "/nix"
    "/proc"
    "/root"
    "/run/user"
    "/sys"
    "/tmp"
    "/var/lib/floe-agent"
    "/var/tmp"
  ];
in
{
  config = lib.mkIf (cfg.enable && cfg.metricsFile != null) {
    assertions = [
      {
        assertion = !lib.elem ".." parts;
        message = "services.floe.agent.metricsFile is ${cfg.metricsFile}: write the path without ..";
      }
      {
        assertion = !lib.elem folder shared && lib.all (each: !lib.hasPrefix "${each}/" "${folder}/") closed;
        message = "services.floe.agent.metricsFile is in ${folder}, which is not for metrics alone: give it a folder of its own, for example /var/lib/node-exporter/floe.prom";
      }
    ];

    # With no mode and no owner: 0755 and root's where it is made, and as it is where it is there.
    systemd.tmpfiles.rules = [ "d ${folder} - - - -" ];
  };
}
