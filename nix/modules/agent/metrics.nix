# The folder of the metrics file, which other programs may write into, too.
{ config, lib, ... }:
let
  cfg = config.services.floe.agent;
  folders = import ../shared/folders.nix { inherit lib; };
  folder = dirOf cfg.metricsFile;
in
{
  config = lib.mkIf (cfg.enable && cfg.metricsFile != null) {
    # The unit may write into the whole folder.
    assertions = folders.mustBeOwn {
      option = "services.floe.agent.metricsFile";
      path = cfg.metricsFile;
      inherit folder;
      moreClosed = [
        cfg.bootMountPoint
        "/var/lib/floe-agent"
      ];
      example = "/var/lib/node-exporter/floe.prom";
    };

    # With no mode and no owner: 0755 and root's where it is made, and as it is where it is there.
    systemd.tmpfiles.rules = [ "d ${folders.plain folder} - - - -" ];
  };
}
