# The service of a server or builder: its user, its folders, what it is given, and the fence around it.
{
  config,
  lib,
  name,
  description,
  package,
  # Its folder below /var/lib has the same name.
  user,
  # Setting → value; null: it is not set.
  settings,
  # Setting → file with a secret; null: it is not set.
  secrets,
  # More credentials, as NAME:FILE.
  credentials,
  # What administrators add.
  environment,
  restartTriggers,
  after,
  # Whether evaluations run in it, each in a sandbox of bubblewrap.
  runsRepositoryCode,
  # Packages whose programs evaluations are recorded with, in that sandbox.
  recordingPackages ? [ ],
  # Packages whose programs closures are published with.
  publishingPackages ? [ ],
  # The folder outside of its own that it publishes to; null: there is none.
  cacheDir,
  umask,
}:
let
  home = "/var/lib/${user}";
  isSet = lib.filterAttrs (_: value: value != null);
  # systemd reads % as the start of a specifier.
  escape = value: lib.replaceStrings [ "%" ] [ "%%" ] (toString value);
  certificates = "ssl/certs/ca-certificates.crt";
  given = {
    FLOE_DATA_DIR = home;
    # Messages then name options instead of variables.
    FLOE_CONFIGURED_BY = "nixos";
    # What security.pki trusts, too: Node has a list of its own.
    NODE_EXTRA_CA_CERTS = "/etc/${certificates}";
  };
in
{
  users.users.${user} = {
    isSystemUser = true;
    group = user;
    inherit home description;
  };
  users.groups.${user} = { };

  # Also where it is there: the root of a disk of its own belongs to root.
  systemd.tmpfiles.rules = lib.optional (cacheDir != null) "d ${cacheDir} 0755 ${user} ${user} -";

  systemd.services.${name} = {
    inherit description;
    documentation = [ "https://github.com/floe-fleet/floe" ];
    wantedBy = [ "multi-user.target" ];
    wants = [ "network-online.target" ];
    after = [ "network-online.target" ] ++ after;
    # It waits for a database, and, beside a builder, for a file, that comes later.
    unitConfig.StartLimitIntervalSec = 0;

    path = lib.optional runsRepositoryCode config.nix.package ++ recordingPackages ++ publishingPackages;
    restartTriggers = restartTriggers ++ lib.optional (config.environment.etc ? ${certificates}) config.environment.etc.${certificates}.source;

    environment = lib.mapAttrs (_: escape) (isSet (given // settings) // environment) // lib.mapAttrs (setting: _: "%d/${setting}") (isSet secrets);

    serviceConfig = {
      ExecStart = lib.getExe' package name;
      User = user;
      Group = user;
      Restart = "always";
      RestartSec = 2;
      TimeoutStopSec = 60;
      StateDirectory = user;
      StateDirectoryMode = "0700";
      UMask = umask;
      LoadCredential = lib.mapAttrsToList (setting: file: "${setting}:${file}") (isSet secrets) ++ credentials;

      # JavaScript is compiled in memory, so MemoryDenyWriteExecute is out of the question.
      CapabilityBoundingSet = "";
      LockPersonality = true;
      NoNewPrivileges = true;
      PrivateDevices = true;
      PrivateTmp = true;
      ProtectClock = true;
      # The metadata address of clouds, which gives out the machine's credentials.
      IPAddressDeny = [
        "169.254.169.254/32"
        "fd00:ec2::254/128"
      ];
      ProtectHome = true;
      ProtectHostname = true;
      ProtectKernelModules = true;
      ProtectProc = "invisible";
      ProtectSystem = "strict";
      ReadWritePaths = lib.optional (cacheDir != null) cacheDir;
      RemoveIPC = true;
      RestrictAddressFamilies = [
        "AF_INET"
        "AF_INET6"
        "AF_NETLINK"
        "AF_UNIX"
      ];
      RestrictRealtime = true;
      RestrictSUIDSGID = true;
      SystemCallArchitectures = "native";
      SystemCallErrorNumber = "EPERM";
      SystemCallFilter = [ "@system-service" ] ++ lib.optional runsRepositoryCode "@mount"
        # strace follows the programs that it starts, in the sandbox, which has no others.
        ++ lib.optionals (recordingPackages != [ ]) [ "ptrace" "process_vm_readv" ];

      # Nix's daemon builds, in its own sandbox; here only evaluations run. The sandbox needs user namespaces with mounts in them, and a
      # /proc on which nothing is mounted: ProtectKernelTunables and ProtectKernelLogs would do that, and forbid an unprivileged user
      # nothing that it could do.
      ProtectKernelLogs = !runsRepositoryCode;
      ProtectKernelTunables = !runsRepositoryCode;
      ProtectControlGroups = !runsRepositoryCode;
      RestrictNamespaces = if runsRepositoryCode then "cgroup ipc mnt pid user uts" else true;
    }
    // lib.optionalAttrs runsRepositoryCode {
      # Each evaluation has a control group of its own, beside the service's.
      Delegate = "memory pids";
      DelegateSubgroup = "floe-main";
    };
  };
}
