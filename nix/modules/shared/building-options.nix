# What evaluates, builds and signs, in the server or as a service of its own: the options that both modules have.
{
  lib,
  program,
  # What the program does.
  purpose,
}:
let
  inherit (lib) mkOption types;
  inherit (import ./kinds.nix { inherit lib; }) secretFile orNull webUrl repositoryUrl knownHosts between positive logLevel;
in
{
  enable = lib.mkEnableOption "${program}, which ${purpose}";

  package = mkOption {
    type = types.package;
    description = "The package that has bin/${program}.";
  };

  publicUrl = mkOption {
    type = webUrl;
    example = "https://floe.example.org";
    description = "Where agents, people and the forge reach the server.";
  };

  repository = {
    url = mkOption {
      type = repositoryUrl;
      example = "https://github.com/example/fleet.git";
      description = ''
        The fleet's repository. An SSH address needs sshKeyFile and knownHosts. No repository in SHA-256 format. Files in Git LFS and files that git-crypt
        and the like encrypt are not what hosts may use. Submodules are empty folders without the option submodules.
      '';
    };
    branch = orNull types.str ''
      The branch that is followed. Null: the one that the repository's HEAD names when it is fetched first. It stays that one:
      when HEAD names another one later, a notice says so.
    '';
    directory = orNull (types.strMatching "[[:alnum:]_.+/-]+") "The folder of the repository that has the flake.nix. Null: its root.";
    tokenFile = secretFile "Token that may read the repository, when it is not public.";
    sshKeyFile = secretFile "Private key without a passphrase that may read the repository, when the url is an SSH address.";
    knownHosts = knownHosts "Lines of known_hosts for the SSH address. ssh-keyscan prints them; compare them with what the host publishes.";
    maxMib = between 1 2000000 512 "Limit of one download. The first one is the branch's whole history.";
    maxFileMib = between 1 2000000 100 "Limit of one file in the history, which is held in memory.";
    silenceSeconds = between 1 86400 120 "How long the git server may be silent.";
    submodules = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Evaluate commits with the files of their submodules, which git fetches from the URLs in .gitmodules, over HTTPS or SSH. Private ones
        need a login for their git host in the option inputs. The flake.nix is then at the root of the repository.
      '';
    };
    testingBranches = between 0 100 0 ''
      How many branches testing/HOST are followed; 0: none. The host of such a branch is asked to try its head for 24 hours at most,
      if it has services.floe.agent.trials.enable. Whoever may push to such a branch chooses that system: protect testing/* at the forge.
    '';
  };

  evaluate = {
    attribute = mkOption {
      type = types.strMatching "[A-Za-z_][A-Za-z0-9_-]*(\\.[A-Za-z_][A-Za-z0-9_-]*)*";
      default = "nixosConfigurations";
      example = "colmenaHive.nodes";
      description = ''
        Where the flake has its hosts: a set with one attribute per host, named as the host.
      '';
    };
    hostsFile = mkOption {
      type = types.nullOr (types.strMatching "[[:alnum:]_+][[:alnum:]_.+/-]*\\.nix");
      default = null;
      example = "hosts.nix";
      description = ''
        For a repository that is no flake: the Nix file whose value is a set with one attribute per host, named as the host, or a function of { } to
        such a set. It may also have nixosConfigurations, floe and checks, as the outputs of a flake. It is evaluated purely.
      '';
    };
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
        Files that no system needs. Of a commit that changes only these nothing is evaluated, and no machine changes. With the source "tree" they are
        not there when it is evaluated, so that a host that contains the whole repository (self.outPath) does not change with them.
      '';
    };
    skip = mkOption {
      type = types.nullOr (types.enum [ "footprint" ]);
      default = null;
      description = ''
        With "footprint" a host is not evaluated at a commit that changes nothing of what its last evaluation looked at. While nothing else is to be
        done, evaluations are recorded by strace, and some of the hosts that were left out are evaluated nevertheless. Where one of them is
        another system, that is told, and all hosts are evaluated again from then on.
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

  operatorKeys = mkOption {
    type = types.nullOr (types.listOf types.str);
    default = null;
    example = [ "ada@example.org sk-ssh-ed25519@openssh.com AAAA…" ];
    description = ''
      Who may take hosts back to a release that is not their stable one, by an SSH signature (floe pin --sign-with): lines as in an allowed_signers
      file (ssh-keygen(1)). Null: nobody has to sign. An empty list lets nobody. A floe-builder decides by its own; set it at its floe-server
      as well, which then says at once what to do (docs/operate.md, "Keys of operators").
    '';
  };

  signCommand = mkOption {
    type = types.nullOr (types.listOf types.str);
    default = null;
    example = lib.literalExpression ''[ "''${pkgs.my-hsm}/bin/hsm-sign" "--key" "7" ]'';
    description = ''
      The program, with its arguments, that signs releases with a key elsewhere (HSM, KMS): it reads the bytes on its stdin, and writes the Ed25519
      signature (docs/operate.md, "A key that is elsewhere"). Null: a key in a file signs.
    '';
  };
  signPublicKey = orNull types.str "The public part of the key that signCommand signs with, in base64: what hosts trust, without its name.";

  cacheUrl = orNull webUrl "Where agents download from. Null: from the server, publicUrl/cache. What is published elsewhere is read back here.";
  cacheUpstreamUrls = mkOption {
    type = types.listOf webUrl;
    default = [ ];
    example = [ "https://cache.nixos.org" ];
    description = ''
      Caches that hosts have besides (services.floe.agent.substituters): a path that the cache lacks may be there. For a publish.command that leaves
      out what other caches have.
    '';
  };
  cachePublicKeys = mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "fleet.cachix.org-1:…" ];
    description = ''
      Keys that sign what is in these caches, besides the key of this cache: where publish.command signs with another one. Whoever has such a key
      chooses what hosts run under a store path.
    '';
  };

  publish = {
    to = orNull (types.strMatching "(s3|https?|ssh|ssh-ng)://.+") ''
      Where closures are published to besides the folder (docs/operate.md, "A cache elsewhere"): s3://BUCKET?region=…, an https:// cache that takes PUT, or
      ssh://USER@HOST. Hosts download from cacheUrl.
    '';
    command = mkOption {
      type = types.nullOr (types.listOf types.str);
      default = null;
      example = lib.literalExpression ''[ "''${pkgs.cachix}/bin/cachix" "push" "fleet" ]'';
      description = ''
        The program, with its arguments, that publishes closures in the place of the folder: it gets their store paths on its stdin, one a line. Hosts
        download from cacheUrl.
      '';
    };
    credentialsFile = secretFile ''
      The login for that. S3: as ~/.aws/credentials; HTTP: netrc; SSH: a private key without a passphrase; a command: lines NAME=VALUE, which only it
      has in its environment.
    '';
    knownHosts = mkOption {
      type = types.listOf types.str;
      default = [ ];
      example = [ "cache.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…" ];
      description = "Lines of known_hosts for ssh://. ssh-keyscan prints them; compare them with what the machine has.";
    };
    timeoutSeconds = orNull types.ints.positive "How long one run of command, or of Nix for ssh://, may take. Null: an hour.";
  };

  cacheKeepDays = orNull types.ints.positive "What no host has needed for so long leaves the cache, every hour. Null: nothing goes by its age.";
  cacheMaxGib = orNull types.ints.positive "When the cache has more, the oldest of what no host needs leaves it, every hour. Null: nothing goes by the size.";

  pollSeconds = positive 180 "How often the repository is looked at without a webhook.";

  evaluationTimeoutSeconds = positive 600 "How long the evaluation of one host may take.";
  evaluationMemoryMib = positive 8192 "Limit of one host's evaluation: address space, in MiB.";
  buildTimeoutSeconds = positive 7200 "How long the build of one host may take.";

  buildMemoryMib = orNull types.ints.positive ''
    What all builds of Nix's daemon together may use: a build that needs more fails, and the machine goes on. Null: 80 % of
    the machine's memory. Sets MemoryMax of nix-daemon.service.
  '';

  inherit logLevel;

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
      keys of ${program}, and with them run anything on every host, without a commit.
    '';
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
          knownHosts = knownHosts "Lines of known_hosts for the key. ssh-keyscan prints them; compare them with what the host publishes.";
        };
      }
    );
  };
}
