# What the server reaches outside: whom it tells, and what a rollout asks.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  inherit (import ../shared/kinds.nix { inherit lib; }) secretFile orNull webUrl;
in
{
  options.services.floe.server = {
    notifications = mkOption {
      default = { };
      example = {
        ops = {
          kind = "webhook";
          url = "https://hooks.example.org/floe";
          secretFile = "/run/secrets/floe-webhook";
        };
      };
      description = "Who is told when a rollout pauses or ends, or a commit or host fails, by name (docs/notifications.md).";
      type = types.attrsOf (
        types.submodule {
          options = {
            kind = mkOption {
              type = types.enum [
                "webhook"
                "slack"
                "matrix"
                "email"
              ];
              description = "What it is.";
            };
            events = orNull (types.listOf types.str) "What it is told of. Null: everything; `[ ]`: what the fleet's policy names it for.";
            url = orNull webUrl "Of a webhook.";
            secretFile = secretFile "Of a webhook: what it is signed with.";
            urlFile = secretFile "Of Slack and what takes the same: the URL of the incoming webhook, which is secret.";
            homeserver = orNull webUrl "Of Matrix: its URL.";
            room = orNull types.str "Of Matrix: the room's id.";
            tokenFile = secretFile "Of Matrix: the access token.";
            host = orNull types.str "Of e-mail: the mail server.";
            port = orNull types.ints.positive "Of e-mail. Null: by security, 465, 587 or 25.";
            security = orNull (types.enum [
              "tls"
              "starttls"
              "none"
            ]) "Of e-mail. Null: starttls, which the server must offer.";
            from = orNull types.str "Of e-mail: the sender.";
            to = orNull (types.listOf types.str) "Of e-mail: the recipients.";
            user = orNull types.str "Of e-mail: the login, if there is one.";
            passwordFile = secretFile "Of e-mail: the login's password.";
          };
        }
      );
    };

    probes = mkOption {
      default = { };
      example = {
        errors-of-the-shop = {
          kind = "prometheus";
          url = "https://prometheus.example.org";
          query = "sum(rate(http_requests_total{code=~'5..'}[5m]))";
          max = 0.1;
        };
      };
      description = "What is asked outside while a ring changes and soaks, by the name that the policy uses (docs/probes.md).";
      type = types.attrsOf (
        types.submodule {
          options = {
            kind = mkOption {
              type = types.enum [
                "webhook"
                "prometheus"
              ];
              description = "What it is.";
            };
            url = mkOption {
              type = webUrl;
              description = "Where it is; of Prometheus without /api/v1.";
            };
            secretFile = secretFile "Of a webhook: what it is signed with.";
            query = orNull types.str "Of Prometheus: a query of PromQL.";
            max = orNull types.number "Of Prometheus: the largest good value.";
            min = orNull types.number "Of Prometheus: the smallest good value.";
            user = orNull types.str "Of Prometheus: the login, if there is one.";
            passwordFile = secretFile "Of Prometheus: the login's password.";
          };
        }
      );
    };
  };
}
