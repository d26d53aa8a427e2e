# This machine's name, the keys it trusts, and time limits.
{ config, lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ../shared/kinds.nix { inherit lib; }) path plainPath between logLevel;
  cfg = config.services.floe.agent;

  # A setting that the agent refuses must fail here: in a release it would leave the machine without an agent.
  keys = { example, description }: mkOption {
    type = types.listOf (types.strMatching "[^[:space:]]+:[A-Za-z0-9+/]+=*");
    default = [ ];
    inherit example description;
  };

  seconds = low: between low 99999;
in
{
  options.services.floe.agent = {
    enable = lib.mkEnableOption "floe-agent, which keeps this machine on its fleet's configuration";

    package = mkOption {
      type = types.package;
      defaultText = lib.literalExpression "the flake's floe-agent";
      description = "The package with bin/floe-agent. It is also in the system's path: `floe-agent status`.";
    };

    host = mkOption {
      type = types.strMatching "[A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?([.][A-Za-z0-9]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?)*";
      default = config.networking.hostName;
      defaultText = lib.literalExpression "config.networking.hostName";
      example = "laptop-ada";
      description = "This machine's name in `nixosConfigurations`.";
    };

    formerHost = mkOption {
      type = types.nullOr (types.strMatching "[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?");
      default = null;
      example = "ws0001";
      description = ''
        The name that this machine had in `nixosConfigurations` before. Null: it never had another one. It lets the machine that still runs the
        system of that name take this one, and keep its key, its enrolment and its history, once an administrator says `floe rename OLD NEW`.
        Leave it until no generation of the old name is left, and give no other machine that name meanwhile.
      '';
    };

    labels = mkOption {
      type = types.listOf (types.strMatching "[A-Za-z0-9]([A-Za-z0-9._:/=@+-]{0,62}[A-Za-z0-9])?");
      default = [ ];
      example = [ "laptop" "site=berlin" ];
      description = ''
        What this machine is, for the fleet's rollout policy: rings and budgets can go by it. At most 50, each of 1 to 64 letters,
        digits, or `. _ : / = @ + -`. The server reads them when it evaluates the machine; the agent does not use them.
      '';
    };

    ring = mkOption {
      type = types.nullOr (types.strMatching "[A-Za-z0-9]([A-Za-z0-9._-]{0,38}[A-Za-z0-9])?");
      default = null;
      example = "canary";
      description = ''
        The ring of the fleet's rollout policy that this machine is in, whatever the policy says of it. Null: the policy decides.
        A ring that the policy does not have is an error of this machine's evaluation.
      '';
    };

    serverUrl = mkOption {
      type = types.strMatching "https?://[^[:space:]/]+[^[:space:]]*";
      example = "https://floe.example.org";
      description = "URL of floe-server. https://, except for a server on this machine.";
    };

    enrolmentTokenFile = mkOption {
      type = types.nullOr path;
      default = "/run/floe-enrolment-token";
      example = lib.literalExpression "config.sops.secrets.floe-enrolment-token.path";
      description = ''
        The one-time token of `floe enrol`, which ends after 15 minutes. Needed once: the file may be missing afterwards, and may
        come after the service has started, which looks for it every 5 seconds until the machine is enrolled. With sops-nix it is
        `config.sops.secrets.NAME.path`, with agenix `config.age.secrets.NAME.path`; the service starts after theirs. Null: the machine
        is enrolled.
      '';
    };

    identity.keyFile = mkOption {
      type = types.nullOr path;
      default = null;
      example = "/etc/ssh/ssh_host_ed25519_key";
      description = ''
        The file of this machine's key: its SSH host key of the kind Ed25519 (a key of Floe's own is derived from it), or an Ed25519 key in PEM.
        A machine that lost its state folder, or has another machine id, is enrolled as before while it has that key. For machines whose
        root is empty at each start, and those that are reinstalled with their old keys. The file must not have a passphrase, and is never
        made. Null: a key of its own in the state folder. A machine that is enrolled keeps its key until it is enrolled again.
      '';
    };

    trustedReleaseKeys = keys {
      example = [ "release-1:3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" ];
      description = ''
        Keys, as KEYID:BASE64, whose releases this machine runs. To change a key, first list both: the running system decides
        what this machine trusts, so the new key must arrive signed by the old one.
      '';
    };

    trustedServerKeys = keys {
      example = [ "server-1:3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" ];
      description = "Keys, as KEYID:BASE64, of the server that may tell this machine which release to run.";
    };

    rejectBefore = mkOption {
      type = types.nullOr types.ints.positive;
      default = null;
      example = 1234;
      description = ''
        Refuse every release with a lower sequence (the number of its revision), whichever key signed it, and also with a permit: what is known to be
        bad, or was signed by a key that somebody else has. A machine that lost its state folder refuses it, too. Null: none is refused for that.
      '';
    };

    substituters = mkOption {
      type = types.listOf types.nonEmptyStr;
      default = [ ];
      example = [ "https://floe.example.org/cache" ];
      description = ''
        Nix caches that the agent downloads systems from. It asks no others: not those of `nix.settings`, which stay as they are for
        everything else on this machine.
      '';
    };

    trustedPublicKeys = keys {
      example = [ "cache-1:3q2+7wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" ];
      description = "Keys, as NAME:BASE64, of which one must have signed each path that the agent downloads. Those of `nix.settings` do not count.";
    };

    repository = mkOption {
      type = types.nullOr types.nonEmptyStr;
      default = null;
      example = "https://github.com/example/fleet.git";
      description = "Accept releases of this repository only, named as the server names it. Null: of any that a release key signed. Deploy null before the address changes.";
    };

    ref = mkOption {
      type = types.nullOr (types.strMatching "refs/heads/[^[:space:]]+");
      default = null;
      example = "refs/heads/main";
      description = ''
        Accept releases of this branch only, beside those that are only tried (`trials.enable`). Null: of any that a release key
        signed. Before the branch gets another name, deploy null: a machine that still has the old name refuses what comes after, and one that has the new
        name too early rolls that system back.
      '';
    };

    userGroup = mkOption {
      type = types.nullOr (types.strMatching "[A-Za-z_][A-Za-z0-9_.-]{0,31}");
      default = null;
      example = "wheel";
      description = ''
        The group whose members may use `floe-agent status`, `changes`, `later`, `now`, `rollback` and `resume`. Null: only root.
      '';
    };

    notifications.enable = mkOption {
      type = types.bool;
      default = cfg.userGroup != null;
      defaultText = lib.literalExpression "config.services.floe.agent.userGroup != null";
      description = "Whether users in `userGroup` see on their desktop what is about to change, and can respond there.";
    };

    inherit logLevel;

    healthGraceSeconds = seconds 0 30 "How long a health check may fail after a switch before that counts, unless the check sets it itself.";
    settleSeconds = seconds 0 3 "How long services must stay up after a switch.";
    contactTimeoutSeconds = seconds 1 60 "How long the server may take to answer after a switch, before that is rolled back.";
    serverLimitSeconds = seconds 0 1800 "How long the server may be away after a switch that only the local checks judged, while the network works. Then the agent rolls back, as the new system itself may cut the server off. 0: forever.";
    switchTimeoutSeconds = seconds 60 900 "How long a switch may take, before it is ended and rolled back.";
    bootTimeoutSeconds = seconds 10 300 "How long this machine may take to start a new system until the agent runs, before it goes back to the old one.";
    slowRetrySeconds = seconds 0 60 "The shortest wait after the server refused this machine.";

    bootMountPoint = mkOption {
      type = types.strMatching "/.*";
      # GRUB copies kernels to /boot, wherever the EFI partition is. The second option is a young one.
      default =
        let
          inherit (config.boot.loader) systemd-boot efi;
          extended = systemd-boot.xbootldrMountPoint or null;
        in
        if !systemd-boot.enable then
          "/boot"
        else if extended != null then
          extended
        else
          efi.efiSysMountPoint;
      defaultText = lib.literalExpression ''with systemd-boot its xbootldrMountPoint or efiSysMountPoint, else "/boot"'';
      example = "/efi";
      description = ''
        Where the boot loader keeps kernels and initrds. If that is a partition of its own, the agent switches only when it has
        space for the new ones.
      '';
    };

    metricsFile = mkOption {
      type = types.nullOr (plainPath "\\.prom");
      default = null;
      example = "/var/lib/node-exporter/floe.prom";
      description = ''
        The agent writes the commit of what runs into this file as metrics for Prometheus, for the textfile collector of the node exporter
        (`services.prometheus.exporters.node.extraFlags = [ "--collector.textfile.directory=/var/lib/node-exporter" ];`).
        Its folder is made where there is none, and otherwise stays as it is. It cannot be one that all programs share, as `/tmp` or `/var/lib`.
      '';
    };

    minFreeMb = between 0 9999999 64 "With less free space than this for the store, the agent neither downloads nor switches.";

    download.maxRate = mkOption {
      type = types.nullOr (types.strMatching "[1-9][0-9]{0,8}[kMG]?");
      default = null;
      example = "2M";
      description = ''
        How fast the agent downloads at most, in bytes per second, with `k`, `M` or `G` for multiples of 1024. Null: as fast as
        it can. It holds for what a directive wants and for what is downloaded ahead; a user's `floe-agent now` and an administrator's
        `floe retry` pass over it, as they do over a metered connection. Nix itself keeps to it, for HTTP and HTTPS: 2.26 does, while
        2.8 does not know the setting and downloads without a limit.
      '';
    };
  };
}
