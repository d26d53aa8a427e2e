# What a machine makes of the modules of server and builder, with these settings.
{
  lib ? import ./lib.nix,
  modules,
  settings ? { },
}:
let
  inherit (lib) mkOption types;
  set = type: default: mkOption { inherit type default; };
  package = name: {
    type = "derivation";
    inherit name;
    outPath = "/packages/${name}";
  };
  # What of NixOS the modules set or read beside units; as NixOS has it by default.
  nixos = {
    options = {
      nix.settings.sandbox = set (types.either types.bool types.str) true;
      nix.settings.trusted-users = set (types.listOf types.str) [ "root" ];
      security.allowUserNamespaces = set types.bool true;
      services.postgresql.enable = set types.bool false;
      services.postgresql.package = set types.package (package "postgresql");
      services.postgresql.ensureDatabases = set (types.listOf types.str) [ ];
      services.postgresql.ensureUsers = set (types.listOf types.raw) [ ];
      users.users = set (types.attrsOf types.raw) { };
    };
  };
  inherit
    (lib.evalModules {
      modules = modules ++ [
        ./nixos-options.nix
        nixos
        { nix.package = package "nix"; }
        settings
      ];
      specialArgs.pkgs = { };
    })
    config
    ;
in
{
  failed = map (each: each.message) (builtins.filter (each: !each.assertion) config.assertions);
  units = config.systemd.services;
  inherit package;
  inherit (config.environment) etc;
  users = builtins.attrNames config.users.users;
  tmpfiles = config.systemd.tmpfiles.rules;
}
