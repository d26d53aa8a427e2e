# floe-agent, the daemon of every host of a fleet. "floe enrol HOST" prints what to put here.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.floe.agent;

  # A setting that the agent would refuse at its start must not become a release: that would leave the machine without one.
  key = types.strMatching "[^[:space:]]+:[A-Za-z0-9+/]+=*";
  nonEmpty = type: types.addCheck (types.listOf type) (list: list != [ ]);

  healthCheck = types.submodule {
    options = {
      command = mkOption {
        type = types.either types.nonEmptyStr (nonEmpty types.str);
        example = lib.literalExpression ''[ "''${pkgs.curl}/bin/curl" "--fail" "http://localhost/" ]'';
        description = "Program and arguments, run as root without a shell; or one string, run by a shell. Exit status 0 is good.";
      };
      timeoutSeconds = mkOption {
        type = types.numbers.between 0.1 600;
        default = 10;
        description = "A check that takes longer has failed.";
      };
    };
  };

  seconds = description: default: mkOption {
    type = types.ints.between 0 99999;
    inherit default description;
  };
in
{
  options.services.floe.agent = {
    enable = lib.mkEnableOption "floe-agent, which keeps this machine on its fleet's configuration";

    package = mkOption {
      type = types.package;
      description = "The package that has bin/floe-agent.";
    };

    host = mkOption {
      type = types.strMatching "[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?";
      default = config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      description = "This machine's name in nixosConfigurations.";
    };

    serverUrl = mkOption {
      type = types.strMatching "https?://[^[:space:]/]+[^[:space:]]*";
      example = "https://floe.example.org";
      description = "Where floe-server is.";
    };

    enrolmentTokenFile = mkOption {
      type = types.nullOr types.str;
      default = "/run/floe-enrolment-token";
      description = "The one-time token of \"floe enrol\". Needed once; the file may be missing afterwards.";
    };

    trustedReleaseKeys = mkOption {
      type = nonEmpty key;
      description = "Keys, as KEYID:BASE64, whose releases this machine runs.";
    };

    trustedServerKeys = mkOption {
      type = nonEmpty key;
      description = "Keys, as KEYID:BASE64, of the server that may tell this machine which release to run.";
    };

    substituters = mkOption {
      type = nonEmpty types.str;
      example = [ "https://floe.example.org/cache" ];
      description = "Nix caches that systems are downloaded from. They are used by Floe alone, beside nix.settings.";
    };

    trustedPublicKeys = mkOption {
      type = nonEmpty key;
      description = "Keys, as NAME:BASE64, that must have signed what is downloaded.";
    };

    repository = mkOption {
      type = types.nullOr types.str;
      default = null;
      example = "https://github.com/example/fleet.git";
      description = "Accept releases of this repository only, named as the server names it. Null: of any that a release key signed.";
    };

    logLevel = mkOption {
      type = types.enum [
        "debug"
        "info"
        "warn"
        "error"
      ];
      default = "info";
      description = "What goes to the journal.";
    };

    healthGraceSeconds = seconds "How long a health check may fail after a switch before it counts." 30;
    settleSeconds = seconds "How long services get after a switch to show that they stay up." 3;
    contactTimeoutSeconds = seconds "How long the server may take to answer after a switch, before it is undone." 60;
    slowRetrySeconds = seconds "The shortest wait after the server refused this machine." 60;

    minFreeMb = mkOption {
      type = types.ints.between 0 9999999;
      default = 64;
      description = "With less free space than this where the store is, nothing is downloaded or switched.";
    };
  };

  options.floe.healthChecks = mkOption {
    type = types.attrsOf healthCheck;
    default = { };
    description = ''
      What must work on this machine after a switch; otherwise it goes back to the system before. Each check must pass
      three times in a row. They are part of the system: a system is judged by its own checks.
    '';
  };

  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];

    environment.etc."floe/health-checks.json".text = builtins.toJSON (
      lib.mapAttrsToList (name: check: {
        inherit name;
        inherit (check) timeoutSeconds;
        command = if builtins.isString check.command then [ pkgs.runtimeShell "-c" check.command ] else check.command;
      }) config.floe.healthChecks
    );

    systemd.services.floe-agent = {
      description = "Floe agent";
      documentation = [ "https://github.com/floe-fleet/floe" ];
      wantedBy = [ "multi-user.target" ];
      after = [
        "network.target"
        "nix-daemon.socket"
      ];

      # A switch runs in a unit of its own and goes on while the agent is restarted; the new agent finds out how it ended,
      # and judges it. So a new agent (or new keys) is proved by the very switch that brings it: if it cannot start, the
      # new system does not become what the machine boots. Restarted at the end, rather than stopped at the beginning:
      # the agent is away for a second, not for the whole switch.
      restartIfChanged = true;
      stopIfChanged = false;

      # Health checks may name programs of the system.
      path = [
        config.nix.package
        config.systemd.package
        pkgs.coreutils
        "/run/current-system/sw"
      ];

      environment = {
        FLOE_SERVER_URL = cfg.serverUrl;
        FLOE_HOST = cfg.host;
        FLOE_TRUSTED_RELEASE_KEYS = toString cfg.trustedReleaseKeys;
        FLOE_TRUSTED_SERVER_KEYS = toString cfg.trustedServerKeys;
        FLOE_SUBSTITUTERS = toString cfg.substituters;
        FLOE_TRUSTED_PUBLIC_KEYS = toString cfg.trustedPublicKeys;
        FLOE_STATE_DIR = "/var/lib/floe-agent";
        FLOE_LOG_LEVEL = cfg.logLevel;
        FLOE_HEALTH_GRACE_SECONDS = toString cfg.healthGraceSeconds;
        FLOE_SETTLE_SECONDS = toString cfg.settleSeconds;
        FLOE_CONTACT_TIMEOUT_SECONDS = toString cfg.contactTimeoutSeconds;
        FLOE_SLOW_RETRY_SECONDS = toString cfg.slowRetrySeconds;
        FLOE_MIN_FREE_MB = toString cfg.minFreeMb;
      }
      // lib.optionalAttrs (cfg.repository != null) { FLOE_REPOSITORY = cfg.repository; }
      # By its path and not as a systemd credential: the unit would not start once the file is gone.
      // lib.optionalAttrs (cfg.enrolmentTokenFile != null) { FLOE_ENROLMENT_TOKEN_FILE = cfg.enrolmentTokenFile; };

      # Never given up: an agent that stays away is a machine that nobody reaches.
      unitConfig.StartLimitIntervalSec = 0;

      serviceConfig = {
        ExecStart = "${lib.getExe' cfg.package "floe-agent"} run";
        Restart = "always";
        RestartSec = 5;
        TimeoutStopSec = 30;
        StateDirectory = "floe-agent";
        StateDirectoryMode = "0700";
        UMask = "0077";
        OOMScoreAdjust = -500;

        # No sandbox: the agent switches systems as root, and health checks must see the machine as it is.
        LockPersonality = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
      };
    };
  };
}
