# Kinds of options that the modules have often.
{ lib }:
let
  inherit (lib) mkOption types;
in
rec {
  path = types.strMatching "/.+";
  # As units and rules of tmpfiles take it: nothing in it means anything to systemd.
  plainPath = ending: types.strMatching "/[^[:space:]%\"'\\\\]+${ending}";
  webUrl = types.strMatching "https?://.+";

  # By its path, as a string: a Nix path would copy the secret into the store, which everyone can read.
  secretFile = description: orNull path "${description} A file that only root need be able to read.";

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
