# The server, its repository and forge, and its limits.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ./kinds.nix { inherit lib; }) secretFile orNull;
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
}
