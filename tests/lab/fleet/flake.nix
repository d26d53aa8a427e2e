{
  description = "Machines for Floe's lab: real systemd units, no nixpkgs";
  inputs = { };
  outputs = { self }: { nixosConfigurations = (import ./lib.nix).fleetOf ./hosts; };
}
