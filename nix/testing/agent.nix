# The agent's module as a machine with these settings evaluates it, and its options for the reference.
{
  lib ? import ./lib.nix,
  settings ? { },
  # Where a package is.
  place ? name: "/packages/${name}",
}:
let
  # As much of a package as a module can see.
  package = name: {
    type = "derivation";
    inherit name;
    outPath = place name;
  };

  evaluated = lib.evalModules {
    modules = [
      ../modules/agent.nix
      ./nixos-options.nix
      {
        nix.package = package "nix";
        systemd.package = package "systemd";
        services.floe.agent.package = lib.mkDefault (package "floe-agent");
      }
      settings
    ];
    specialArgs.pkgs = {
      runtimeShell = "/bin/sh";
      coreutils = package "coreutils";
      libnotify = package "libnotify";
      util-linux = package "util-linux";
    };
  };
  inherit (evaluated) config options;

  shown = value: if builtins.isAttrs value && value._type or null == "literalExpression" then { inherit (value) text; } else { inherit value; };

  # One entry for each option, in the order of their names.
  entries = tree: builtins.concatLists (map (
    name:
    let
      each = tree.${name};
    in
    if builtins.substring 0 1 name == "_" then
      [ ]
    else if lib.isOption each then
      [
        (
          {
            name = builtins.concatStringsSep "." each.loc;
            type = each.type.description;
            inherit (each) description;
          }
          // lib.optionalAttrs (each ? default || each ? defaultText) { default = shown (each.defaultText or each.default); }
          // lib.optionalAttrs (each ? example) { example = shown each.example; }
        )
      ]
      ++ entries (each.type.getSubOptions each.loc)
    else
      entries each
  ) (builtins.attrNames tree));
in
{
  inherit config;
  failed = map (each: each.message) (builtins.filter (each: !each.assertion) config.assertions);
  reference = entries {
    inherit (options.services.floe) agent;
    inherit (options.floe) healthChecks;
  };
}
