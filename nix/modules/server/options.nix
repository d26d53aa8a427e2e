# The server, its forge and its database, and what it has in common with a builder.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ../shared/kinds.nix { inherit lib; }) secretFile orNull path plainPath webUrl positive;
  building = import ../shared/building-options.nix {
    inherit lib;
    program = "floe-server";
    purpose = "brings a fleet's machines to what is committed";
  };
in
{
  options.services.floe.server = building // {
    listen = mkOption {
      type = types.str;
      default = "127.0.0.1:8420";
      description = "Address and port. Floe itself speaks no TLS.";
    };

    trustedProxies = mkOption {
      type = types.listOf (types.strMatching "[[:xdigit:].:]+(/[[:digit:]]{1,3})?");
      default = [ ];
      example = [ "127.0.0.1" ];
      description = ''
        Addresses or networks of the proxies in front, whose X-Forwarded-For is believed, so that limits are per client and
        not for all together. Only proxies that set it: anyone else at such an address could claim to be anybody.
      '';
    };

    webhookSecretFile = secretFile "Secret of the forge's webhook. Without one Floe only polls.";
    webhookPreviousSecretFile = secretFile "The previous secret, while it is being changed.";

    github = {
      repository = orNull (types.strMatching "[[:alnum:]_.-]+/[[:alnum:]_.-]+") "OWNER/NAME, to show the rollout on its commits.";
      apiUrl = mkOption {
        type = types.str;
        default = "https://api.github.com";
        description = "URL of the API. Set it for GitHub Enterprise.";
      };
      tokenFile = secretFile "Token that may write commit statuses. Or sign in as an App, with the three below.";
      appId = orNull types.str "The App's id.";
      appKeyFile = secretFile "The App's private key, PEM.";
      installationId = orNull types.ints.positive "The id of the App's installation.";
    };

    database = {
      createLocally = lib.mkEnableOption "Postgres on this machine, with a database for Floe, instead of the embedded one";
      urlFile = secretFile "postgres:// URL of a database elsewhere.";
    };

    takeOverFrom = orNull types.str "Release key of another server whose database this server takes over (docs/operate.md).";

    builderKeysFile = orNull path ''
      The public-keys.json of a floe-builder that is a service of its own (docs/operate.md, "A builder of its own"): this server then holds
      no release key and no credentials of the repository. A file that only root need be able to read. Null: the builder is inside the server.
    '';
    cacheDir = orNull (plainPath "") ''
      The folder of the cache, which nothing else uses: it is given to the server's user, unless it is that of a floe-builder. Null: cache in the
      server's data folder, or, with builderKeysFile, none.
    '';

    historyDays = positive 90 "How long past commits, their evaluations and releases, reports, directives and sent statuses are kept.";
  };
}
