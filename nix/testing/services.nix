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
  inStore = "${builtins.storeDir}/x";
  # Options that name files, also those of each of several things, and whether they may be in the store.
  filesOf =
    tree:
    builtins.concatLists (
      map (
        name:
        let
          each = tree.${name};
        in
        if builtins.substring 0 1 name == "_" then
          [ ]
        else if lib.isOption each then
          lib.optional (builtins.match ".*File" name != null && each.type.check "/run/x") {
            name = builtins.concatStringsSep "." each.loc;
            mayBeInStore = each.type.check inStore;
          }
          ++ filesOf (each.type.getSubOptions each.loc)
        else
          filesOf each
      ) (builtins.attrNames tree)
    );
  inherit
    (lib.evalModules {
      modules = modules ++ [
        ./nixos-options.nix
        nixos
        { nix.package = package "nix"; }
        settings
      ];
      specialArgs.pkgs.openssh = package "openssh";
    })
    config
    options
    ;
in
{
  failed = map (each: each.message) (builtins.filter (each: !each.assertion) config.assertions);
  units = config.systemd.services;
  inherit package;
  files = filesOf options.services.floe;
  inherit (config.environment) etc;
  users = builtins.attrNames config.users.users;
  tmpfiles = config.systemd.tmpfiles.rules;
}
