# The builder's unit, its user, and the files that it reads.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.floe.builder;
  building = import ../shared/building-service.nix {
    inherit lib cfg;
    unit = "floe-builder";
    file = "floe/builder-";
  };
in
{
  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      {
        environment.etc = building.etc;
        systemd.services.nix-daemon.serviceConfig = building.daemon;
      }
      (import ../shared/service.nix {
        inherit config lib;
        inherit (cfg) package environment cacheDir;
        inherit (building) credentials restartTriggers;
        name = "floe-builder";
        description = "Floe builder";
        user = "floe-builder";
        settings = building.settings // {
          FLOE_TRUST_SERVER_WITH_SUBMISSIONS = if cfg.trustServerWithSubmissions then "yes" else null;
          DATABASE_URL = if cfg.database.local then "postgres://floe-builder@localhost/floe?host=/run/postgresql" else null;
        };
        secrets = building.secrets // {
          FLOE_RELEASE_KEY_FILE = cfg.releaseKeyFile;
          FLOE_CACHE_KEY_FILE = cfg.cacheKeyFile;
        };
        after = [ "nix-daemon.socket" ] ++ lib.optional cfg.database.local "floe-builder-database.service";
        runsRepositoryCode = true;
        recordingPackages = lib.optional (cfg.evaluate.skip != null) pkgs.strace;
        publishingPackages = lib.optional building.publishesBySsh pkgs.openssh;
        # Others read what is in a cache elsewhere. The builder's own folder is closed, whatever its files allow.
        umask = if cfg.cacheDir == null then "0077" else "0022";
      })
    ]
  );
}
