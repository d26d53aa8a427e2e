# Kinds of options that the modules of server and builder have often.
{ lib }:
let
  inherit (lib) mkOption types;
in
{
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
}
