# Kinds of options that the modules have often.
{ lib }:
let
  inherit (lib) mkOption types;
  outsideOfStore = types.addCheck (types.strMatching "/.+") (value: !lib.hasPrefix "${builtins.storeDir}/" value);
in
rec {
  path = types.strMatching "/.+";
  # As units and rules of tmpfiles take it: nothing in it means anything to systemd.
  plainPath = ending: types.strMatching "/[^[:space:]%\"'\\\\]+${ending}";
  webUrl = types.strMatching "https?://.+";

  # Or an SSH address, in either of git's forms.
  repositoryUrl = types.strMatching "(https?|ssh)://.+|([[:alnum:]_][[:alnum:]_.+-]*@)?[[:alnum:]][[:alnum:]_.-]*:/?[^/].*";

  # By its path, as a string. Everyone can read the store, where a Nix path would copy it to, here and in the cache.
  secretFile = description: orNull (outsideOfStore // { description = "path of a file outside of the Nix store, as a string"; }) "${description} A file that only root need be able to read.";

  knownHosts = description: mkOption {
    type = types.listOf types.str;
    default = [ ];
    example = [ "git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…" ];
    inherit description;
  };

  orNull = type: description: mkOption {
    type = types.nullOr type;
    default = null;
    inherit description;
  };

  between = low: high: default: description: mkOption {
    type = types.ints.between low high;
    inherit default description;
  };

  positive = default: description: mkOption {
    type = types.ints.positive;
    inherit default description;
  };

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
}
