# Hosts are sets { units, health, policy, trials, formerHost, etc, kernel, specialisations, env, agent }: what a test sets of a machine.
let
  inherit (builtins) attrNames concatStringsSep filter head listToAttrs match readDir toFile;

  defaults = {
    units = { };
    health = [ ];
    policy = { };
    trials = false;
    formerHost = null;
    etc = { };
    kernel = "6.12.1";
    specialisations = { };
    env = { };
    # `broken`: an agent that cannot start.
    agent = "works";
    # Four pieces of so many bytes each, that do not compress well.
    ballast = 0;
  };

  # The same bytes every time.
  piece = size: number: derivation {
    name = "ballast-${toString size}-${toString number}";
    system = builtins.currentSystem or "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "awk -v n=${toString size} -v seed=${toString number} 'BEGIN { srand(seed); for (i = 0; i < n / 8; i++) printf \"%08x\", int(rand() * 4294967295) }' >$out" ];
    PATH = "/usr/bin:/bin";
    preferLocalBuild = true;
  };

  toplevel = name: toplevelOf name name;
  toplevelOf = hostName: name: host:
    let
      module = import ./module.nix hostName host;
      units = module.units // host.units;
      etc = host.etc // module.etc // listToAttrs (map (unit: { name = "systemd/system/${unit}"; value = units.${unit}; }) (attrNames units));
    in
    derivation {
      name = "nixos-system-${name}-lab";
      system = builtins.currentSystem or "x86_64-linux";
      builder = "/bin/sh";
      args = [ ./scripts/build.sh ];
      PATH = "/usr/bin:/bin";
      preferLocalBuild = true;
      inherit (host) kernel;
      ballast = if host.ballast == 0 then [ ] else map (piece host.ballast) [ 1 2 3 4 ];
      scripts = ./scripts;
      etcFiles = concatStringsSep "\n" (map (file: "${file} ${toFile (baseNameOf file) etc.${file}}") (attrNames etc));
      specialisations = concatStringsSep "\n" (map
        (special: "${special} ${toplevelOf name "${name}-${special}" (removeAttrs (host // host.specialisations.${special}) [ "specialisations" ] // { specialisations = { }; })}")
        (attrNames host.specialisations));
    };
in
{
  fleetOf = folder: listToAttrs (map
    (file:
      let
        name = head (match "(.*)\\.nix" file);
        host = defaults // import (folder + "/${file}");
      in
      {
        inherit name;
        value.config = {
          networking.hostName = name;
          services.floe.agent = { inherit (host) formerHost; };
          system.build.toplevel = toplevel name host;
        };
      })
    (filter (file: match ".*\\.nix" file != null) (attrNames (readDir folder))));
}
