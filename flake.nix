{
  description = "Floe: keeps a fleet of NixOS machines on the configuration in one git repository";

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forEachSystem = make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${system});
      packagesOf = pkgs: self.packages.${pkgs.stdenv.hostPlatform.system};

      # The module with the package of this flake as its default.
      withPackage =
        module: name:
        { lib, pkgs, ... }:
        {
          imports = [ module ];
          services.floe.${lib.removePrefix "floe-" name}.package = lib.mkDefault (packagesOf pkgs).${name};
        };
    in
    {
      packages = forEachSystem (
        pkgs:
        let
          packages = pkgs.callPackage ./nix/packages.nix { };
        in
        packages // { default = packages.floe-cli; }
      );

      nixosModules = {
        server = withPackage ./nix/modules/server.nix "floe-server";
        builder = withPackage ./nix/modules/builder.nix "floe-builder";
        agent = withPackage ./nix/modules/agent.nix "floe-agent";
      };

      # What the scripts of package.json look for.
      devShells = forEachSystem (pkgs: {
        default = pkgs.mkShellNoCC {
          packages = [
            pkgs.nodejs_24
            pkgs.git
            pkgs.nix
            pkgs.bubblewrap
            pkgs.openssh
            pkgs.gnupg
            pkgs.postgresql
            pkgs.pgbouncer
            pkgs.chromium
            pkgs.util-linux
          ];
        };
      });
    };
}
