# The server's module as a machine with these settings evaluates it.
{
  lib ? import ./lib.nix,
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
  # What of NixOS the module sets or reads beside units; as NixOS has it by default.
  nixos = {
    options = {
      nix.settings.sandbox = set (types.either types.bool types.str) true;
      nix.settings.trusted-users = set (types.listOf types.str) [ "root" ];
      systemd.tmpfiles.rules = set (types.listOf types.str) [ ];
      security.allowUserNamespaces = set types.bool true;
      services.postgresql = set types.raw { };
      users.users = set (types.attrsOf types.raw) { };
      users.groups = set (types.attrsOf types.raw) { };
    };
  };
  inherit
    (lib.evalModules {
      modules = [
        ../modules/server.nix
        ./nixos-options.nix
        nixos
        {
          nix.package = package "nix";
          services.floe.server = {
            enable = true;
            package = lib.mkDefault (package "floe-server");
            publicUrl = lib.mkDefault "https://floe.example.org";
            repository.url = lib.mkDefault "https://git.example.org/fleet.git";
          };
        }
        settings
      ];
      specialArgs.pkgs = { };
    })
    config
    ;
in
{
  failed = map (each: each.message) (builtins.filter (each: !each.assertion) config.assertions);
  unit = config.systemd.services.floe-server;
  etc = config.environment.etc;
  tmpfiles = config.systemd.tmpfiles.rules;
  daemon = config.systemd.services.nix-daemon;
}
