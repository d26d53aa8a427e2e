# The server's unit, its user, and the files that it reads.
{
  config,
  lib,
  ...
}:
let
  cfg = config.services.floe.server;
  isUnconfined = cfg.unsafe.runRepositoryCodeWithAccessToKeys;

  lines = texts: lib.concatStringsSep "\n" texts + "\n";

  isSet = lib.filterAttrs (_: value: value != null);
  # Things outside by name, of whose options those in `secretOptions` are files: the list for the server, in which each is a credential of
  # its unit, and these credentials.
  withSecrets = prefix: secretOptions: things: {
    entries = lib.mapAttrsToList (
      name: thing:
      lib.mapAttrs (
        option: value: if lib.elem option secretOptions then "/run/credentials/floe-server.service/${prefix}-${name}" else value
      ) (isSet thing)
      // { inherit name; }
    ) things;
    credentials = lib.concatMap (
      name: lib.concatMap (option: lib.optional (things.${name}.${option} != null) "${prefix}-${name}:${things.${name}.${option}}") secretOptions
    ) (builtins.attrNames things);
  };
  notifications = withSecrets "notify" [ "secretFile" "urlFile" "tokenFile" "passwordFile" ] cfg.notifications;
  probes = withSecrets "probe" [ "secretFile" "passwordFile" ] cfg.probes;
  # host → option → the name of the unit's credential, which has no colon. Those that are set.
  inputSecrets = lib.mapAttrs (
    host: input:
    lib.mapAttrs (option: _: "input-${lib.replaceStrings [ ":" ] [ "-" ] host}-${option}") (
      lib.filterAttrs (option: value: value != null && lib.elem option [ "tokenFile" "sshKeyFile" ]) input
    )
  ) cfg.inputs;
  inputsFile = builtins.toJSON {
    inputs = lib.mapAttrs (
      host: input: isSet input // lib.mapAttrs (_: name: "/run/credentials/floe-server.service/${name}") inputSecrets.${host}
    ) cfg.inputs;
  };
  inputCredentials = lib.concatMap (
    host: lib.mapAttrsToList (option: name: "${name}:${cfg.inputs.${host}.${option}}") inputSecrets.${host}
  ) (builtins.attrNames cfg.inputs);
  notifyFile = builtins.toJSON { targets = notifications.entries; };
  probesFile = builtins.toJSON { probes = probes.entries; };

  # Setting → file. systemd hands each to the service alone, as a credential.
  secrets = lib.filterAttrs (_: file: file != null) {
    FLOE_REPOSITORY_TOKEN_FILE = cfg.repository.tokenFile;
    FLOE_WEBHOOK_SECRET_FILE = cfg.webhookSecretFile;
    FLOE_WEBHOOK_PREVIOUS_SECRET_FILE = cfg.webhookPreviousSecretFile;
    FLOE_GITHUB_TOKEN_FILE = cfg.github.tokenFile;
    FLOE_GITHUB_APP_KEY_FILE = cfg.github.appKeyFile;
    FLOE_DATABASE_URL_FILE = cfg.database.urlFile;
  };

  settings = lib.filterAttrs (_: value: value != null) {
    FLOE_REPOSITORY_URL = cfg.repository.url;
    FLOE_REPOSITORY_BRANCH = cfg.repository.branch;
    FLOE_REPOSITORY_DIRECTORY = cfg.repository.directory;
    FLOE_REPOSITORY_MAX_MIB = cfg.repository.maxMib;
    FLOE_REPOSITORY_MAX_FILE_MIB = cfg.repository.maxFileMib;
    FLOE_REPOSITORY_SILENCE_SECONDS = cfg.repository.silenceSeconds;
    FLOE_REPOSITORY_TESTING_BRANCHES = cfg.repository.testingBranches;
    # What security.pki trusts, too: Node has a list of its own.
    NODE_EXTRA_CA_CERTS = "/etc/ssl/certs/ca-certificates.crt";
    FLOE_EVALUATE_SOURCE = cfg.evaluate.source;
    FLOE_EVALUATE_IGNORE = if cfg.evaluate.ignore == [ ] then null else lib.concatStringsSep "," cfg.evaluate.ignore;
    # Messages then name these options instead of variables.
    FLOE_CONFIGURED_BY = "nixos";
    FLOE_LISTEN = cfg.listen;
    FLOE_PUBLIC_URL = cfg.publicUrl;
    FLOE_TRUSTED_PROXIES = if cfg.trustedProxies == [ ] then null else lib.concatStringsSep "," cfg.trustedProxies;
    FLOE_DATA_DIR = "/var/lib/floe";
    FLOE_NOTIFY_FILE = if cfg.notifications == { } then null else "/etc/floe/notify.json";
    FLOE_POLICY_FLOOR = if cfg.policyFloor == { } then null else builtins.toJSON cfg.policyFloor;
    FLOE_SSH_SIGNERS_FILE = if cfg.signers.ssh == null then null else "/etc/floe/ssh-signers";
    FLOE_OPENPGP_SIGNERS_FILE = if cfg.signers.openPgp == null then null else "/etc/floe/openpgp-signers";
    FLOE_PROBES_FILE = if cfg.probes == { } then null else "/etc/floe/probes.json";
    FLOE_INPUTS_FILE = if cfg.inputs == { } then null else "/etc/floe/inputs.json";
    FLOE_TAKE_OVER_FROM = cfg.takeOverFrom;
    FLOE_BUILDER_KEYS_FILE = cfg.builderKeysFile;
    FLOE_CACHE_URL = cfg.cacheUrl;
    FLOE_CACHE_DIR = cfg.cacheDir;
    FLOE_CACHE_KEEP_DAYS = cfg.cacheKeepDays;
    FLOE_CACHE_MAX_GIB = cfg.cacheMaxGib;
    FLOE_FORGE = cfg.forge;
    FLOE_GITHUB_REPOSITORY = cfg.github.repository;
    FLOE_GITHUB_API_URL = cfg.github.apiUrl;
    FLOE_GITHUB_APP_ID = cfg.github.appId;
    FLOE_GITHUB_INSTALLATION_ID = cfg.github.installationId;
    FLOE_POLL_SECONDS = cfg.pollSeconds;
    FLOE_HISTORY_DAYS = cfg.historyDays;
    FLOE_EVALUATION_TIMEOUT_SECONDS = cfg.evaluationTimeoutSeconds;
    FLOE_EVALUATION_MEMORY_MIB = cfg.evaluationMemoryMib;
    FLOE_BUILD_TIMEOUT_SECONDS = cfg.buildTimeoutSeconds;
    FLOE_BUILD_MEMORY_MIB = cfg.buildMemoryMib;
    FLOE_LOG_LEVEL = cfg.logLevel;
    FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS = if isUnconfined then "yes" else null;
    DATABASE_URL = if cfg.database.createLocally then "postgres://floe@localhost/floe?host=/run/postgresql" else null;
  };
  # systemd reads % as the start of a specifier.
  escape = value: lib.replaceStrings [ "%" ] [ "%%" ] (toString value);
in
{
  config = lib.mkIf cfg.enable {
    users.users.floe = {
      isSystemUser = true;
      group = "floe";
      home = "/var/lib/floe";
      description = "Floe server";
    };
    users.groups.floe = { };

    systemd.tmpfiles.rules = lib.optional (cfg.cacheDir != null && cfg.builderKeysFile == null) "d ${cfg.cacheDir} 0755 floe floe -";

    environment.etc = lib.mkMerge [
      (lib.mkIf (cfg.notifications != { }) { "floe/notify.json".text = notifyFile; })
      (lib.mkIf (cfg.probes != { }) { "floe/probes.json".text = probesFile; })
      (lib.mkIf (cfg.inputs != { }) { "floe/inputs.json".text = inputsFile; })
      (lib.mkIf (cfg.signers.ssh != null) { "floe/ssh-signers".text = lines ([ "# Who may sign commits." ] ++ cfg.signers.ssh); })
      (lib.mkIf (cfg.signers.openPgp != null) { "floe/openpgp-signers".text = lines cfg.signers.openPgp; })
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

    systemd.services.nix-daemon.serviceConfig = lib.mkIf (!isUnconfined) {
      MemoryMax = lib.mkDefault (if cfg.buildMemoryMib == null then "80%" else "${toString cfg.buildMemoryMib}M");
      # A build that is killed must not end the daemon, and with it all other builds.
      OOMPolicy = lib.mkDefault "continue";
    };

    systemd.services.floe-server = {
      description = "Floe server";
      documentation = [ "https://github.com/floe-fleet/floe" ];
      wantedBy = [ "multi-user.target" ];
      wants = [ "network-online.target" ];
      after = [
        "network-online.target"
        "nix-daemon.socket"
      ]
      # The server waits for a database that starts later.
      ++ lib.optional cfg.database.createLocally "postgresql.service";

      path = [ config.nix.package ];
      restartTriggers =
        lib.optional (cfg.notifications != { }) notifyFile
        ++ lib.optional (cfg.probes != { }) probesFile
        ++ lib.optional (cfg.inputs != { }) inputsFile
        ++ lib.optional (config.environment.etc ? "ssl/certs/ca-certificates.crt") config.environment.etc."ssl/certs/ca-certificates.crt".source;

      environment =
        lib.mapAttrs (_: escape) (settings // cfg.environment)
        // lib.mapAttrs (name: _: "%d/${name}") secrets;

      serviceConfig = {
        ExecStart = lib.getExe' cfg.package "floe-server";
        User = "floe";
        Group = "floe";
        Restart = "always";
        RestartSec = 2;
        TimeoutStopSec = 60;
        StateDirectory = "floe";
        StateDirectoryMode = "0700";
        UMask = "0077";
        LoadCredential = lib.mapAttrsToList (name: file: "${name}:${file}") secrets ++ notifications.credentials ++ probes.credentials ++ inputCredentials;

        # Nix's daemon builds, in its own sandbox; here only evaluations run, each in a sandbox of bubblewrap. It needs user
        # namespaces with mounts in them, and a /proc on which nothing is mounted: ProtectKernelTunables and ProtectKernelLogs
        # would do that, and forbid an unprivileged user nothing that it could do. JavaScript is compiled in memory, so
        # MemoryDenyWriteExecute is out of the question.
        CapabilityBoundingSet = "";
        LockPersonality = true;
        NoNewPrivileges = true;
        PrivateDevices = true;
        PrivateTmp = true;
        ProtectClock = true;
        # Each evaluation has a control group of its own, beside the server's.
        Delegate = "memory pids";
        DelegateSubgroup = "floe-main";
        ProtectControlGroups = false;
        # The metadata address of clouds, which gives out the machine's credentials.
        IPAddressDeny = [
          "169.254.169.254/32"
          "fd00:ec2::254/128"
        ];
        ProtectHome = true;
        ProtectHostname = true;
        ProtectKernelLogs = false;
        ProtectKernelModules = true;
        ProtectKernelTunables = false;
        ProtectProc = "invisible";
        ProtectSystem = "strict";
        # The builder in it publishes there; that of a floe-builder is only read.
        ReadWritePaths = lib.optional (cfg.cacheDir != null && cfg.builderKeysFile == null) cfg.cacheDir;
        RemoveIPC = true;
        RestrictAddressFamilies = [
          "AF_INET"
          "AF_INET6"
          "AF_NETLINK"
          "AF_UNIX"
        ];
        RestrictNamespaces = "cgroup ipc mnt pid user uts";
        RestrictRealtime = true;
        RestrictSUIDSGID = true;
        SystemCallArchitectures = "native";
        SystemCallErrorNumber = "EPERM";
        SystemCallFilter = [
          "@system-service"
          "@mount"
        ];
      };
    };
  };
}
