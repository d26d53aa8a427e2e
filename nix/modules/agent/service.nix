# The agent's own unit.
{
  config,
  lib,
  pkgs,
  ...
}:
let
  cfg = config.services.floe.agent;

  # The machine's proxy, for the agent and for Nix; a machine has this option only with its networking module.
  proxy = config.networking.proxy.envVars or { };

  environment = proxy // lib.optionalAttrs (proxy != { }) { NODE_USE_ENV_PROXY = "1"; } // {
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
    FLOE_SERVER_LIMIT_SECONDS = toString cfg.serverLimitSeconds;
    FLOE_SWITCH_TIMEOUT_SECONDS = toString cfg.switchTimeoutSeconds;
    FLOE_BOOT_TIMEOUT_SECONDS = toString cfg.bootTimeoutSeconds;
    FLOE_SLOW_RETRY_SECONDS = toString cfg.slowRetrySeconds;
    FLOE_BOOT_MOUNT_POINT = cfg.bootMountPoint;
    FLOE_MIN_FREE_MB = toString cfg.minFreeMb;
  }
  // lib.optionalAttrs (cfg.repository != null) { FLOE_REPOSITORY = cfg.repository; }
  // lib.optionalAttrs (cfg.userGroup != null) { FLOE_SOCKET_GROUP = cfg.userGroup; }
  # By its path and not as a systemd credential: the unit would not start once the file is gone.
  // lib.optionalAttrs (cfg.enrolmentTokenFile != null) { FLOE_ENROLMENT_TOKEN_FILE = cfg.enrolmentTokenFile; };

  # Where a boot loader keeps its entries and its one-shot entry; a dash in front: it may be missing.
  bootPaths = map (path: "-${path}") (
    lib.unique [
      "/boot"
      cfg.bootMountPoint
      config.boot.loader.efi.efiSysMountPoint
      "/sys/firmware/efi/efivars"
    ]
  );
in
{
  config = lib.mkIf cfg.enable {
    environment.systemPackages = [ cfg.package ];

    systemd.services.floe-agent = {
      description = "Floe agent";
      documentation = [ "https://github.com/floe-fleet/floe" ];
      wantedBy = [ "multi-user.target" ];
      after = [
        "network.target"
        "nix-daemon.socket"
        # What brings the enrolment token, where it comes that way. Order alone: they need not be there.
        "sops-install-secrets.service"
        "agenix-install-secrets.service"
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
        pkgs.util-linux
        "/run/current-system/sw"
      ];

      # systemd reads % as the start of a specifier.
      environment = lib.mapAttrs (_: value: lib.replaceStrings [ "%" ] [ "%%" ] value) environment;

      # Never given up: an agent that stays away is a machine that nobody reaches.
      unitConfig.StartLimitIntervalSec = 0;

      serviceConfig = {
        ExecStart = "${lib.getExe' cfg.package "floe-agent"} run";
        # The agent says when it is ready and, again and again, that it is not stuck; programs that it starts may not.
        Type = "notify";
        # By systemd-notify, which is a program of its own.
        NotifyAccess = "all";
        WatchdogSec = 60;
        Restart = "always";
        RestartSec = 5;
        TimeoutStopSec = 30;
        StateDirectory = "floe-agent";
        StateDirectoryMode = "0700";
        # The socket's own mode says who may use it.
        RuntimeDirectory = "floe-agent";
        RuntimeDirectoryMode = "0755";
        UMask = "0077";
        OOMScoreAdjust = -500;

        # Whoever may ask systemd to run units as root, as the agent must, is root: this fence is against mistakes and
        # half-way attacks (a parser, a library), not against code that runs here and knows of it. Switches, the watchdog
        # and the commands of health checks are units of their own, started by systemd: they are outside of this fence and
        # see and change the machine as ever. Inside are the connection, the downloads (nix-store, as root, without the
        # daemon), the profile's link, and what is asked of systemd, logind and others over D-Bus.
        ProtectSystem = "strict";
        ReadWritePaths = [ "/nix" ] ++ bootPaths;
        # Homes and /run/user are nobody's business here.
        ProtectHome = true;
        PrivateTmp = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        # Messages to people's terminals, where there is no desktop.
        DevicePolicy = "closed";
        DeviceAllow = [
          "char-pts rw"
          "char-tty rw"
        ];

        NoNewPrivileges = true;
        CapabilityBoundingSet = [
          # Nix mounts its store writable, in a mount namespace of its own, and gives each file its owner and mode.
          "CAP_SYS_ADMIN"
          "CAP_CHOWN"
          "CAP_DAC_OVERRIDE"
          "CAP_DAC_READ_SEARCH"
          "CAP_FOWNER"
          "CAP_FSETID"
          # Programs that took too long.
          "CAP_KILL"
          # EFI variables are immutable until told otherwise: the one-shot boot entry is one.
          "CAP_LINUX_IMMUTABLE"
          # Which unit holds the lock of a switch: /proc/PID of others.
          "CAP_SYS_PTRACE"
        ];
        RestrictNamespaces = "mnt";
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_NETLINK"
          "AF_UNIX"
        ];
        LockPersonality = true;
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        SystemCallArchitectures = "native";
        SystemCallErrorNumber = "EPERM";
        SystemCallFilter = [
          "@system-service"
          "@mount"
        ];

        # Left out: MemoryDenyWriteExecute (JavaScript is compiled in memory); PrivateDevices (no terminals to write to);
        # PrivateNetwork and IPAddressDeny (the server, the caches, and HTTP and TCP checks of anything); PrivateUsers (root
        # would be root no more); ProtectProc (see CAP_SYS_PTRACE); ProtectHostname (it would freeze the name that a switch
        # changes).
      };
    };
  };
}
