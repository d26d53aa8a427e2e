# The little that a fleet needs of NixOS's module system: modules are functions of { config, ... } to attribute sets,
# which are merged into one configuration, and a configuration has a system to build.
let
  inherit (builtins) attrNames concatStringsSep filter foldl' head isAttrs isList listToAttrs mapAttrs match readDir toFile toJSON;

  # Sets are merged, lists joined; of anything else the later module's value counts.
  merge = earlier: later: earlier // mapAttrs
    (name: value:
      if !(earlier ? ${name}) then value
      else if isAttrs value && isAttrs earlier.${name} then merge earlier.${name} value
      else if isList value && isList earlier.${name} then earlier.${name} ++ value
      else value)
    later;

  evaluate = modules:
    let config = foldl' (merged: module: merge merged (import module { inherit config; })) defaults modules;
    in config;

  defaults = {
    environment.etc = { };
    floe.healthChecks = { };
  };

  # What Floe's agent looks at after a switch; the NixOS module of Floe writes the same file.
  healthChecks = checks: toJSON (map (name: { inherit name; } // healthCheck checks.${name}) (attrNames checks));

  healthCheck = check:
    removeAttrs check [ "command" "http" "tcp" "unit" ]
    // (if check ? http then { kind = "http"; } // check.http
      else if check ? tcp then { kind = "tcp"; } // check.tcp
      else if check ? unit then { kind = "unit"; inherit (check) unit; }
      else { kind = "command"; command = [ "/bin/sh" "-c" check.command ]; });

  # The system of one host. Nothing of the commit goes into it, or every commit would change every host.
  toplevel = hostName: config:
    let
      etc = config.environment.etc // { "floe/health-checks.json" = healthChecks config.floe.healthChecks; };
      files = map (name: "${name} ${toFile "etc-${baseNameOf name}" etc.${name}}") (attrNames etc);
    in
    derivation {
      name = "nixos-system-${hostName}-${config.system.nixos.label}";
      system = "x86_64-linux";
      builder = "/bin/sh";
      args = [ ./scripts/build.sh ];
      PATH = "/usr/bin:/bin:/run/current-system/sw/bin";
      preferLocalBuild = true;
      label = config.system.nixos.label;
      etcFiles = concatStringsSep "\n" files;
      switchScript = ./scripts/switch-to-configuration.sh;
    };

  host = name: modules:
    let config = evaluate modules;
    in { config = merge config { networking.hostName = name; system.build.toplevel = toplevel name config; }; };
in
{
  fleetOf = folder: shared: listToAttrs (map
    (file:
      let name = head (match "(.*)\\.nix" file);
      in { inherit name; value = host name (shared ++ [ (folder + "/${file}") ]); })
    (filter (file: match ".*\\.nix" file != null) (attrNames (readDir folder))));
}
