# What the agent's module makes of a host: the very units and files of a NixOS machine, as NixOS writes them.
name: host:
let
  inherit (builtins) attrNames attrValues concatMap concatStringsSep filter isBool isList isString listToAttrs mapAttrs removeAttrs split substring;

  words = text: filter (word: isString word && word != "") (split " " text);
  setting = variable: fallback: host.env.${variable} or fallback;
  key = "none:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

  evaluated = import ./nix/testing/agent.nix {
    # The guests' programs are where Debian has them; /usr/local first, where tests put theirs.
    place = package: if package == "systemd" then "/usr/local" else "/usr";
    settings = { lib, ... }: {
      services.floe.agent = {
        enable = true;
        host = name;
        serverUrl = setting "FLOE_SERVER_URL" "https://floe.example.org";
        trustedReleaseKeys = words (setting "FLOE_TRUSTED_RELEASE_KEYS" key);
        trustedServerKeys = words (setting "FLOE_TRUSTED_SERVER_KEYS" key);
        substituters = words (setting "FLOE_SUBSTITUTERS" "https://floe.example.org/cache");
        trustedPublicKeys = words (setting "FLOE_TRUSTED_PUBLIC_KEYS" key);
        enrolmentTokenFile = "/var/lib/lab/token";
        identity.keyFile = host.env.FLOE_IDENTITY_KEY_FILE or null;
        inherit (host) policy formerHost;
        trials.enable = host.trials;
        # At the pace of machines that switch in a third of a second.
        healthChecks = listToAttrs (map (check: {
          inherit (check) name;
          value = { intervalSeconds = 0; } // removeAttrs check [ "name" ];
        }) host.health);
      };
      systemd.services.floe-agent.serviceConfig = {
        ExecStart = lib.mkForce (if host.agent == "works" then "/usr/local/bin/node ${./agent}/floe-agent.mjs run" else "/bin/false");
        WatchdogSec = lib.mkForce 10;
        RestartSec = lib.mkForce 1;
        TimeoutStopSec = lib.mkForce 20;
      };
    };
  };
  config = if evaluated.failed == [ ] then evaluated.config else throw (concatStringsSep "\n" evaluated.failed);

  lines = set: concatMap (each: map (value: "${each}=${shown value}") (if isList set.${each} then set.${each} else [ set.${each} ])) (attrNames set);
  shown = value: if isBool value then (if value then "true" else "false") else toString value;
  folders = service: concatMap (each: [ "${each}/bin" "${each}/sbin" ]) service.path ++ [ "/usr/bin" "/bin" ];

  unit = service: concatStringsSep "\n" (
    [ "[Unit]" "Description=${service.description}" ]
    ++ lines {
      After = service.after;
      Before = service.before;
      Conflicts = service.conflicts;
      X-RestartIfChanged = service.restartIfChanged;
      X-StopIfChanged = service.stopIfChanged;
    }
    ++ lines service.unitConfig
    ++ [ "[Service]" "Environment=\"PATH=${concatStringsSep ":" (folders service)}\"" ]
    ++ attrValues (mapAttrs (variable: value: "Environment=\"${variable}=${value}\"") service.environment)
    ++ lines service.serviceConfig
    ++ [ "[Install]" "WantedBy=${concatStringsSep " " service.wantedBy}" "" ]
  );
  inherit (config.systemd) services;
in
{
  units = {
    # What a test sets goes before what the module does: its limits are for machines with people.
    "floe-agent.service" = unit (services.floe-agent // { environment = services.floe-agent.environment // host.env; });
    "floe-boot-guard.service" = unit services.floe-boot-guard;
  };
  etc = mapAttrs (_: file: file.text) config.environment.etc;
}
