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
    # What security.pki trusts, too: Node has a list of its own.
    NODE_EXTRA_CA_CERTS = "/etc/ssl/certs/ca-certificates.crt";
    FLOE_SERVER_URL = cfg.serverUrl;
    FLOE_HOST = cfg.host;
    FLOE_TRUSTED_RELEASE_KEYS = toString cfg.trustedReleaseKeys;
    FLOE_TRUSTED_SERVER_KEYS = toString cfg.trustedServerKeys;
    FLOE_SUBSTITUTERS = toString cfg.substituters;
    FLOE_TRUSTED_PUBLIC_KEYS = toString cfg.trustedPublicKeys;
    FLOE_STATE_DIR = "/var/lib/floe-agent";
    FLOE_RUNNING_FILE = "/run/floe-agent/running.json";
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
  // lib.optionalAttrs (cfg.formerHost != null) { FLOE_FORMER_HOST = cfg.formerHost; }
  // lib.optionalAttrs (cfg.identity.keyFile != null) { FLOE_IDENTITY_KEY_FILE = cfg.identity.keyFile; }
  // lib.optionalAttrs (cfg.rejectBefore != null) { FLOE_REJECT_BEFORE = toString cfg.rejectBefore; }
  // lib.optionalAttrs (cfg.repository != null) { FLOE_REPOSITORY = cfg.repository; }
  // lib.optionalAttrs (cfg.ref != null) { FLOE_REF = cfg.ref; }
  // lib.optionalAttrs (cfg.download.maxRate != null) { FLOE_DOWNLOAD_MAX_RATE = cfg.download.maxRate; }
  // lib.optionalAttrs (cfg.metricsFile != null) { FLOE_METRICS_FILE = cfg.metricsFile; }
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
        # Services that may provide the enrolment token. Only for the order: they need not exist.
        "sops-install-secrets.service"
        "agenix-install-secrets.service"
        # It makes the SSH keys of the machine, which may be its identity.
        "sshd-keygen.service"
      ];

      # A switch runs in a unit of its own and goes on while the agent restarts; the new agent finds its result and judges it. So
      # the switch that brings a new agent (or new keys) also tests it: if it cannot start, the new system does not become the
      # boot default. Restarted at the end instead of stopped at the beginning: the agent is away for a second, not for the
      # whole switch.
      restartIfChanged = true;
      stopIfChanged = false;
      # Authorities are read at the start only, and the switch that brings one is judged by whether it leads to the server.
      restartTriggers = lib.optional (config.environment.etc ? "ssl/certs/ca-certificates.crt") config.environment.etc."ssl/certs/ca-certificates.crt".source;

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

      # No start limit: without its agent, nobody can reach the machine through Floe.
      unitConfig.StartLimitIntervalSec = 0;

      serviceConfig = {
        ExecStart = "${lib.getExe' cfg.package "floe-agent"} run";
        # The agent notifies systemd when it is ready, and then regularly that it is not stuck.
        Type = "notify";
        # The message comes from systemd-notify, a child process.
        NotifyAccess = "all";
        WatchdogSec = 60;
        Restart = "always";
        RestartSec = 5;
        TimeoutStopSec = 30;
        StateDirectory = "floe-agent";
        StateDirectoryMode = "0700";
        # The socket's own mode decides who may use it.
        RuntimeDirectory = "floe-agent";
        RuntimeDirectoryMode = "0755";
        # Which commit runs is there while the agent is stopped, too.
        RuntimeDirectoryPreserve = true;
        UMask = "0077";
        OOMScoreAdjust = -500;

        # The agent must be able to have systemd run units as root, so it is root in effect. These restrictions protect against
        # mistakes and partial attacks (on a parser, a library), not against arbitrary code in this process. Switches, the
        # watchdog and commands of health checks are units of their own and not restricted. Restricted are the connection, the
        # downloads (nix-store, as root, without the daemon), the profile's link, and D-Bus calls to systemd, logind and others.
        ProtectSystem = "strict";
        ReadWritePaths = [ "/nix" ] ++ bootPaths ++ lib.optional (cfg.metricsFile != null) "-${dirOf cfg.metricsFile}";
        # The agent needs neither homes nor /run/user.
        ProtectHome = true;
        PrivateTmp = true;
        ProtectClock = true;
        ProtectControlGroups = true;
        ProtectKernelLogs = true;
        ProtectKernelModules = true;
        ProtectKernelTunables = true;
        # For messages on users' terminals, where there is no desktop.
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
          # For ending programs that took too long.
          "CAP_KILL"
          # EFI variables are immutable by default; the one-time boot entry is one.
          "CAP_LINUX_IMMUTABLE"
          # For finding the unit that holds the switch lock: /proc/PID of other processes.
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
        # would not be root any more); ProtectProc (see CAP_SYS_PTRACE); ProtectHostname (it would freeze the name that a switch
        # changes).
      };
    };
  };
}
