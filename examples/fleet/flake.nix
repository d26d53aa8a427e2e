{
  description = "A fleet of three workstations, in plain Nix: no nixpkgs, so that it builds anywhere in seconds";

  # A real fleet has nixpkgs here and `nixpkgs.lib.nixosSystem` below: see README.md, "Set up a fleet".
  inputs = { };

  outputs = { self }:
    let lib = import ./lib.nix;
    in {
      # Every file hosts/NAME.nix is the host NAME.
      nixosConfigurations = lib.fleetOf ./hosts [ ./modules/base.nix ];
    }
    # The rollout policy, once there is one: see docs/policy.md.
    // (if builtins.pathExists ./floe.nix then { floe = import ./floe.nix; } else { });
}
