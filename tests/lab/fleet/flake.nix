{
  description = "Machines for Floe's lab: real systemd units, no nixpkgs";
  inputs = { };
  outputs = { self }:
    { nixosConfigurations = (import ./lib.nix).fleetOf ./hosts; }
    // (if builtins.pathExists ./floe.json then { floe = builtins.fromJSON (builtins.readFile ./floe.json); } else { });
}
