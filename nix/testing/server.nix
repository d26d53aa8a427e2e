# The server's module as a machine with these settings evaluates it.
{
  lib ? import ./lib.nix,
  settings ? { },
}:
let
  machine = import ./services.nix {
    inherit lib;
    modules = [
      ../modules/server.nix
      {
        services.floe.server = {
          enable = true;
          package = lib.mkDefault (machine.package "floe-server");
          publicUrl = lib.mkDefault "https://floe.example.org";
          repository.url = lib.mkDefault "https://git.example.org/fleet.git";
        };
      }
    ];
    inherit settings;
  };
in
{
  inherit (machine) failed etc tmpfiles;
  unit = machine.units.floe-server;
  daemon = machine.units.nix-daemon;
}
