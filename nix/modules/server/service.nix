# The server's unit, its user, and the files that it reads.
{ config, lib, pkgs, ... }:
let
  cfg = config.services.floe.server;
  hasOwnBuilder = cfg.builderKeysFile != null;
  building = import ../shared/building-service.nix {
    inherit lib cfg;
    unit = "floe-server";
    file = "floe/";
  };

  # Things outside by name, of whose options those in `secretOptions` are files: the list for the server, in which each is a credential of
  # its unit, and these credentials.
  withSecrets = prefix: secretOptions: things: {
    entries = lib.mapAttrsToList (
      name: thing:
      lib.mapAttrs (
        option: value: if lib.elem option secretOptions then "/run/credentials/floe-server.service/${prefix}-${name}" else value
      ) (lib.filterAttrs (_: value: value != null) thing)
      // { inherit name; }
    ) things;
    credentials = lib.concatMap (
      name: lib.concatMap (option: lib.optional (things.${name}.${option} != null) "${prefix}-${name}:${things.${name}.${option}}") secretOptions
    ) (builtins.attrNames things);
  };
  notifications = withSecrets "notify" [ "secretFile" "urlFile" "tokenFile" "passwordFile" ] cfg.notifications;
  probes = withSecrets "probe" [ "secretFile" "passwordFile" ] cfg.probes;
  notifyFile = builtins.toJSON { targets = notifications.entries; };
  probesFile = builtins.toJSON { probes = probes.entries; };

  secrets = building.secrets // {
    FLOE_WEBHOOK_SECRET_FILE = cfg.webhookSecretFile;
    FLOE_WEBHOOK_PREVIOUS_SECRET_FILE = cfg.webhookPreviousSecretFile;
    FLOE_GITHUB_TOKEN_FILE = cfg.github.tokenFile;
    FLOE_GITHUB_APP_KEY_FILE = cfg.github.appKeyFile;
    # No secret, but the builder's folder is its own.
    FLOE_BUILDER_KEYS_FILE = cfg.builderKeysFile;
  };

  settings = building.settings // {
    FLOE_LISTEN = cfg.listen;
    FLOE_TRUSTED_PROXIES = if cfg.trustedProxies == [ ] then null else lib.concatStringsSep "," cfg.trustedProxies;
    FLOE_NOTIFY_FILE = if cfg.notifications == { } then null else "/etc/floe/notify.json";
    FLOE_PROBES_FILE = if cfg.probes == { } then null else "/etc/floe/probes.json";
    FLOE_TAKE_OVER_FROM = cfg.takeOverFrom;
    FLOE_GITHUB_REPOSITORY = cfg.github.repository;
    FLOE_GITHUB_API_URL = cfg.github.apiUrl;
    FLOE_GITHUB_APP_ID = cfg.github.appId;
    FLOE_GITHUB_INSTALLATION_ID = cfg.github.installationId;
    FLOE_HISTORY_DAYS = cfg.historyDays;
    DATABASE_URL = if cfg.database.createLocally then "postgres://floe@localhost/floe?host=/run/postgresql" else null;
  };
in
{
  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      {
        environment.etc = lib.mkMerge [
          (lib.mkIf (cfg.notifications != { }) { "floe/notify.json".text = notifyFile; })
          (lib.mkIf (cfg.probes != { }) { "floe/probes.json".text = probesFile; })
          building.etc
        ];

        services.postgresql = lib.mkIf cfg.database.createLocally {
          enable = true;
          ensureDatabases = [ "floe" ];
          ensureUsers = [
            {
              name = "floe";
              ensureDBOwnership = true;
            }
          ];
        };

        systemd.services.nix-daemon.serviceConfig = lib.mkIf (!hasOwnBuilder) building.daemon;
      }
      (import ../shared/service.nix {
        inherit config lib settings secrets;
        inherit (cfg) package environment;
        name = "floe-server";
        description = "Floe server";
        user = "floe";
        credentials = notifications.credentials ++ probes.credentials ++ building.credentials;
        restartTriggers =
          lib.optional (cfg.notifications != { }) notifyFile
          ++ lib.optional (cfg.probes != { }) probesFile
          ++ building.restartTriggers;
        after =
          lib.optional (!hasOwnBuilder) "nix-daemon.socket"
          ++ lib.optional hasOwnBuilder "floe-builder.service"
          # The server waits for a database that starts later.
          ++ lib.optional cfg.database.createLocally "postgresql.service";
        runsRepositoryCode = !hasOwnBuilder;
        recordingPackages = lib.optional (cfg.evaluate.skip != null) pkgs.strace;
        publishingPackages = lib.optional building.publishesBySsh pkgs.openssh;
        # That of a floe-builder is only read.
        cacheDir = if hasOwnBuilder then null else cfg.cacheDir;
        umask = "0077";
      })
    ]
  );
}
