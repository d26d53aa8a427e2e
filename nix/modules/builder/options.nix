# The builder, its keys and its database, and what it has in common with a server.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ../shared/kinds.nix { inherit lib; }) secretFile orNull plainPath;
  building = import ../shared/building-options.nix {
    inherit lib;
    program = "floe-builder";
    purpose = "evaluates, builds and signs beside a floe-server without the release key";
  };
in
{
  options.services.floe.builder = building // {
    repository = building.repository // {
      # Whoever has the database could name another one.
      branch = mkOption {
        type = types.nonEmptyStr;
        example = "main";
        description = "The branch that the server follows.";
      };
    };

    database = {
      local = mkOption {
        type = types.bool;
        default = false;
        description = ''
          Whether it is the database that services.floe.server.database.createLocally makes on this machine. Gives floe-builder a login of
          its own there, which may do what the server's may.
        '';
      };
      urlFile = secretFile "postgres:// URL of the server's database, with a login that owns its tables.";
    };

    releaseKeyFile = secretFile ''
      The key that signs releases, in PEM: what every host trusts. Null: keys/release.pem in /var/lib/floe-builder, which is made when it is missing.
    '';
    cacheKeyFile = secretFile ''
      The key that signs what is published, as nix key generate-secret writes it. Null: keys/cache.secret in /var/lib/floe-builder, which is made when
      it is missing.
    '';
    cacheDir = orNull (plainPath "") ''
      The folder of the cache, which nothing else uses: it is given to the builder's user, and everyone on this machine may read it. Null: cache in /var/lib/floe-builder, which nobody else reads.
    '';

    trustServerWithSubmissions = mkOption {
      type = types.bool;
      default = false;
      description = ''
        Sign what the server says was submitted (floe release submit, floe pin --store-path), without an evaluation. Whoever has the server or
        its database can then have any system signed that this machine's caches offer.
      '';
    };
  };
}
