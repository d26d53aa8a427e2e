# The builder's module as a machine with these settings evaluates it, alone or beside a server that holds no keys.
{
  lib ? import ./lib.nix,
  settings ? { },
  isBesideServer ? false,
}:
let
  fleet = package: {
    package = lib.mkDefault package;
    publicUrl = lib.mkDefault "https://floe.example.org";
    repository.url = lib.mkDefault "https://git.example.org/fleet.git";
  };
  machine = import ./services.nix {
    inherit lib settings;
    modules = [
      ../modules/builder.nix
      {
        services.floe.builder = fleet (machine.package "floe-builder") // {
          enable = true;
          repository.url = lib.mkDefault "https://git.example.org/fleet.git";
          repository.branch = lib.mkDefault "main";
        };
      }
    ]
    ++ lib.optionals isBesideServer [
      ../modules/server.nix
      {
        services.floe.server = fleet (machine.package "floe-server") // {
          enable = lib.mkDefault true;
          builderKeysFile = lib.mkDefault "/var/lib/floe-builder/public-keys.json";
          cacheDir = lib.mkDefault "/var/cache/floe";
          database.createLocally = lib.mkDefault true;
        };
        services.floe.builder = {
          cacheDir = lib.mkDefault "/var/cache/floe";
          database.local = lib.mkDefault true;
        };
      }
    ];
  };
in
{
  inherit (machine) failed etc tmpfiles users units files;
}
