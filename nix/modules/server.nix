# floe-server: HTTP, rollouts, and the builder. Put a proxy with TLS in front of it (docs/operate.md).
{
  config,
  lib,
  pkgs,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.floe.server;
  isUnconfined = cfg.unsafe.runRepositoryCodeWithAccessToKeys;

  # By its path, as a string: a Nix path would copy the secret into the store, which everyone can read.
  secretFile = description: mkOption {
    type = types.nullOr (types.strMatching "/.+");
    default = null;
    description = "${description} A file that only root need be able to read.";
  };

  orNull = type: description: mkOption {
    type = types.nullOr type;
    default = null;
    inherit description;
  };

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
  options.services.floe.server = {
    enable = lib.mkEnableOption "floe-server, which brings a fleet's machines to what is committed";

    package = mkOption {
      type = types.package;
      description = "The package that has bin/floe-server.";
    };

    publicUrl = mkOption {
      type = types.strMatching "https?://.+";
      example = "https://floe.example.org";
      description = "Where agents, people and the forge reach this server.";
    };

    listen = mkOption {
      type = types.str;
      default = "127.0.0.1:8420";
      description = "Address and port. Floe itself speaks no TLS.";
    };

    trustedProxies = mkOption {
      type = types.listOf (types.strMatching "[[:xdigit:].:]+(/[[:digit:]]{1,3})?");
      default = [ ];
      example = [ "127.0.0.1" ];
      description = ''
        Addresses or networks of the proxies in front, whose X-Forwarded-For is believed, so that limits are per client and
        not for all together. Only proxies that set it: anyone else at such an address could claim to be anybody.
      '';
    };

    repository = {
      url = mkOption {
        type = types.strMatching "https?://.+";
        example = "https://github.com/example/fleet.git";
        description = ''
          The fleet's repository. No SSH address, no repository in SHA-256 format. Files in Git LFS and files that git-crypt
          and the like encrypt are not what hosts may use, and submodules are empty folders.
        '';
      };
      branch = orNull types.str ''
        The branch that is followed. Null: the one that the repository's HEAD names when it is fetched first. It stays that one:
        when HEAD names another one later, a notice says so.
      '';
      directory = orNull (types.strMatching "[[:alnum:]_.+/-]+") "The folder of the repository that has the flake.nix. Null: its root.";
      tokenFile = secretFile "Token that may read the repository, when it is not public.";
      maxMib = mkOption {
        type = types.ints.between 1 2000000;
        default = 512;
        description = "Limit of one download. The first one is the branch's whole history.";
      };
      maxFileMib = mkOption {
        type = types.ints.between 1 2000000;
        default = 100;
        description = "Limit of one file in the history, which is held in memory.";
      };
      silenceSeconds = mkOption {
        type = types.ints.between 1 86400;
        default = 120;
        description = "How long the git server may be silent.";
      };
      testingBranches = mkOption {
        type = types.ints.between 0 100;
        default = 0;
        description = ''
          How many branches testing/HOST are followed; 0: none. The host of such a branch is asked to try its head for 24 hours at most,
          if it has services.floe.agent.trials.enable. Whoever may push to such a branch chooses that system: protect testing/* at the forge.
        '';
      };
    };

    evaluate = {
      source = mkOption {
        type = types.enum [
          "commit"
          "tree"
        ];
        default = "commit";
        description = ''
          What of a commit is evaluated. With "tree" its files alone: self has no rev, and 1970 as its date, so that a system that contains these does
          not change with every commit. Of a commit with the same files as the one before, nothing is evaluated.
        '';
      };
      ignore = mkOption {
        type = types.listOf (types.strMatching "[^[:space:],]+");
        default = [ ];
        example = [
          "docs/**"
          ".github/**"
          "**/*.md"
        ];
        description = ''
          With the source "tree": files that are not there when it is evaluated. A host that contains the whole repository (self.outPath) does not
          change with them, and of a commit that changes only these nothing is evaluated.
        '';
      };
    };

    forge = mkOption {
      type = types.enum [
        "github"
        "gitlab"
        "forgejo"
      ];
      default = "github";
      description = ''
        Where the repository is; forgejo: at Forgejo or Gitea. Webhooks come to /webhooks/FORGE, and those of another forge are refused. Who
        pushed a commit is told by its login there.
      '';
    };
    webhookSecretFile = secretFile "Secret of the forge's webhook. Without one Floe only polls.";
    webhookPreviousSecretFile = secretFile "The previous secret, while it is being changed.";

    github = {
      repository = orNull (types.strMatching "[[:alnum:]_.-]+/[[:alnum:]_.-]+") "OWNER/NAME, to show the rollout on its commits.";
      apiUrl = mkOption {
        type = types.str;
        default = "https://api.github.com";
        description = "URL of the API. Set it for GitHub Enterprise.";
      };
      tokenFile = secretFile "Token that may write commit statuses. Or sign in as an App, with the three below.";
      appId = orNull types.str "The App's id.";
      appKeyFile = secretFile "The App's private key, PEM.";
      installationId = orNull types.ints.positive "The id of the App's installation.";
    };

    policyFloor = mkOption {
      type = types.attrsOf types.anything;
      default = { };
      example = {
        firstRing = {
          soak = "1h";
          approvals.count = 1;
        };
        checks = [ "unit" ];
      };
      description = ''
        What every rollout policy of the fleet must have at least (docs/policy.md, "A floor"). A commit whose policy is below it is refused,
        unless administrators let that one through.
      '';
    };

    signers = {
      ssh = mkOption {
        type = types.nullOr (types.listOf types.str);
        default = null;
        example = [ "ada@example.org ssh-ed25519 AAAA…" ];
        description = ''
          Who may sign commits with an SSH key: lines as in an allowed_signers file (ssh-keygen(1)). With one of these two options,
          commits that nobody of both signed are refused (docs/operate.md, "Signed commits"); null: nobody has to sign. An empty list lets nobody.
        '';
      };
      openPgp = mkOption {
        type = types.nullOr (types.listOf types.str);
        default = null;
        example = lib.literalExpression "[ (builtins.readFile ./ada.asc) ]";
        description = "Who may sign commits with OpenPGP: public keys, armored, as gpg --armor --export writes them.";
      };
    };

    notifications = mkOption {
      default = { };
      example = {
        ops = {
          kind = "webhook";
          url = "https://hooks.example.org/floe";
          secretFile = "/run/secrets/floe-webhook";
        };
      };
      description = "Who is told when a rollout pauses or ends, or a commit or host fails, by name (docs/notifications.md).";
      type = types.attrsOf (
        types.submodule {
          options = {
            kind = mkOption {
              type = types.enum [
                "webhook"
                "slack"
                "matrix"
                "email"
              ];
              description = "What it is.";
            };
            events = orNull (types.listOf types.str) "What it is told of. Null: everything; `[ ]`: what the fleet's policy names it for.";
            url = orNull (types.strMatching "https?://.+") "Of a webhook.";
            secretFile = secretFile "Of a webhook: what it is signed with.";
            urlFile = secretFile "Of Slack and what takes the same: the URL of the incoming webhook, which is secret.";
            homeserver = orNull (types.strMatching "https?://.+") "Of Matrix: its URL.";
            room = orNull types.str "Of Matrix: the room's id.";
            tokenFile = secretFile "Of Matrix: the access token.";
            host = orNull types.str "Of e-mail: the mail server.";
            port = orNull types.ints.positive "Of e-mail. Null: by security, 465, 587 or 25.";
            security = orNull (types.enum [
              "tls"
              "starttls"
              "none"
            ]) "Of e-mail. Null: starttls, which the server must offer.";
            from = orNull types.str "Of e-mail: the sender.";
            to = orNull (types.listOf types.str) "Of e-mail: the recipients.";
            user = orNull types.str "Of e-mail: the login, if there is one.";
            passwordFile = secretFile "Of e-mail: the login's password.";
          };
        }
      );
    };

    probes = mkOption {
      default = { };
      example = {
        errors-of-the-shop = {
          kind = "prometheus";
          url = "https://prometheus.example.org";
          query = "sum(rate(http_requests_total{code=~'5..'}[5m]))";
          max = 0.1;
        };
      };
      description = "What is asked outside while a ring changes and soaks, by the name that the policy uses (docs/probes.md).";
      type = types.attrsOf (
        types.submodule {
          options = {
            kind = mkOption {
              type = types.enum [
                "webhook"
                "prometheus"
              ];
              description = "What it is.";
            };
            url = mkOption {
              type = types.strMatching "https?://.+";
              description = "Where it is; of Prometheus without /api/v1.";
            };
            secretFile = secretFile "Of a webhook: what it is signed with.";
            query = orNull types.str "Of Prometheus: a query of PromQL.";
            max = orNull types.number "Of Prometheus: the largest good value.";
            min = orNull types.number "Of Prometheus: the smallest good value.";
            user = orNull types.str "Of Prometheus: the login, if there is one.";
            passwordFile = secretFile "Of Prometheus: the login's password.";
          };
        }
      );
    };

    inputs = mkOption {
      default = { };
      example = {
        "github.com".tokenFile = "/run/secrets/inputs-github";
        "git.example.org" = {
          sshKeyFile = "/run/secrets/inputs-git-key";
          knownHosts = [ "git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…" ];
        };
      };
      description = ''
        How private inputs of the flake are fetched, by the git host as in its https:// URL (docs/configuration.md, "Private inputs").
        Whoever may push to the fleet's repository can read what can be read with it, but not the token.
      '';
      type = types.attrsOf (
        types.submodule {
          options = {
            tokenFile = secretFile "Token that may read the inputs, and nothing else.";
            user = orNull types.str "The login for the token. Null: x-access-token, which forges accept.";
            sshKeyFile = secretFile "Private key without a passphrase, for git+ssh inputs. Null: they are fetched over https, with the token.";
            knownHosts = mkOption {
              type = types.listOf types.str;
              default = [ ];
              example = [ "git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…" ];
              description = "Lines of known_hosts for the key. ssh-keyscan prints them; compare them with what the host publishes.";
            };
          };
        }
      );
    };

    database = {
      createLocally = lib.mkEnableOption "Postgres on this machine, with a database for Floe, instead of the embedded one";
      urlFile = secretFile "postgres:// URL of a database elsewhere.";
    };

    takeOverFrom = orNull types.str "Release key of another server whose database this server takes over (docs/operate.md).";

    builderKeysFile = orNull (types.strMatching "/.+") ''
      The public-keys.json of a floe-builder that is a service of its own (docs/operate.md, "A builder of its own"): this server then holds
      no release key and no credentials of the repository. Null: the builder is inside the server.
    '';
    cacheDir = orNull (types.strMatching "/.+") "The folder of the cache. Null: cache in the server's data folder, or, with builderKeysFile, none.";
    cacheUrl = orNull (types.strMatching "https?://.+") "Where agents download from. Null: from this server, publicUrl/cache.";
    cacheKeepDays = orNull types.ints.positive "What no host has needed for so long leaves the server's own cache, every hour. Null: nothing goes by its age.";
    cacheMaxGib = orNull types.ints.positive ''
      When the server's own cache has more, the oldest of what no host needs leaves it, every hour. Null: nothing goes by the size.
    '';

    pollSeconds = mkOption {
      type = types.ints.positive;
      default = 180;
      description = "How often the repository is looked at without a webhook.";
    };
    historyDays = mkOption {
      type = types.ints.positive;
      default = 90;
      description = "How long past commits, their evaluations and releases, reports, directives and sent statuses are kept.";
    };
    evaluationTimeoutSeconds = mkOption {
      type = types.ints.positive;
      default = 600;
      description = "Of one host.";
    };
    evaluationMemoryMib = mkOption {
      type = types.ints.positive;
      default = 8192;
      description = "Limit of one host's evaluation: address space, in MiB.";
    };
    buildTimeoutSeconds = mkOption {
      type = types.ints.positive;
      default = 7200;
      description = "Of one host.";
    };
    buildMemoryMib = orNull types.ints.positive ''
      What all builds of Nix's daemon together may use: a build that needs more fails, and the machine goes on. Null: 80 % of
      the machine's memory. Sets MemoryMax of nix-daemon.service.
    '';

    logLevel = mkOption {
      type = types.enum [
        "debug"
        "info"
        "warn"
        "error"
      ];
      default = "info";
      description = "The least severe messages in the journal.";
    };

    environment = mkOption {
      type = types.attrsOf types.str;
      default = { };
      example = {
        https_proxy = "http://proxy.example.org:3128";
      };
      description = ''
        More of the service's environment. NIX_CONFIG, proxies and certificates reach the sandbox, where whoever may push can
        read them.
      '';
    };

    unsafe.runRepositoryCodeWithAccessToKeys = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Evaluate without the sandbox, where user namespaces cannot be had. Whoever may push to the repository can then read all
        keys of this server, and with them run anything on every host, without a commit.
      '';
    };
  };

  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.database.createLocally -> cfg.database.urlFile == null;
        message = "services.floe.server.database: set createLocally or urlFile, not both";
      }
      {
        assertion =
          cfg.github.repository != null
          -> cfg.github.tokenFile != null
            || (cfg.github.appId != null && cfg.github.appKeyFile != null && cfg.github.installationId != null);
        message = "services.floe.server.github: set tokenFile, or appId, appKeyFile and installationId";
      }
      {
        assertion = cfg.github.repository != null -> cfg.forge == "github";
        message = "services.floe.server.github is set, and forge is ${cfg.forge}: a repository is at one forge, so unset the other";
      }
      {
        assertion = isUnconfined || config.security.allowUserNamespaces;
        message = "services.floe.server keeps the repository's code apart in user namespaces: set security.allowUserNamespaces = true (and on a hardened kernel security.unprivilegedUsernsClone)";
      }
      {
        assertion = isUnconfined || config.nix.settings.sandbox == true;
        message = "services.floe.server: what the repository builds must run in Nix's sandbox: set nix.settings.sandbox = true";
      }
      {
        assertion = isUnconfined || !(lib.elem "floe" config.nix.settings.trusted-users || lib.elem "*" config.nix.settings.trusted-users);
        message = "services.floe.server evaluates foreign code: take floe and * out of nix.settings.trusted-users, which may do what root may";
      }
    ];

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
