# Hosts are sets { units, health, policy, etc, kernel, specialisations, env, agent }: what a test sets of a machine.
let
  inherit (builtins) attrNames attrValues concatStringsSep filter head listToAttrs mapAttrs match readDir toFile toJSON;

  defaults = {
    units = { };
    health = [ ];
    policy = { };
    etc = { };
    kernel = "6.12.1";
    specialisations = { };
    env = { };
    # `broken`: an agent that cannot start.
    agent = "works";
    # Four pieces of so many bytes each, that do not compress well.
    ballast = 0;
  };

  agentUnit = host: ''
    [Unit]
    Description=Floe agent
    StartLimitIntervalSec=0
    [Service]
    ExecStart=${if host.agent == "works" then "/usr/local/bin/node ${./agent}/floe-agent.mjs run" else "/bin/false"}
    ${concatStringsSep "\n" (attrValues (mapAttrs (name: value: "Environment=\"${name}=${value}\"") host.env))}
    Restart=always
    RestartSec=1
    TimeoutStopSec=20
    Type=notify
    NotifyAccess=all
    WatchdogSec=10
    StateDirectory=floe-agent
    StateDirectoryMode=0700
    RuntimeDirectory=floe-agent
    [Install]
    WantedBy=multi-user.target
  '';

  guardUnit = ''
    [Unit]
    Description=Floe: a system that was not proved does not stay
    ConditionPathExists=/var/lib/floe-agent/boot-guard
    [Service]
    Type=oneshot
    ExecStart=/bin/sh /var/lib/floe-agent/boot-guard
    [Install]
    WantedBy=multi-user.target
  '';

  # The same bytes every time.
  piece = size: number: derivation {
    name = "ballast-${toString size}-${toString number}";
    system = builtins.currentSystem or "x86_64-linux";
    builder = "/bin/sh";
    args = [ "-c" "awk -v n=${toString size} -v seed=${toString number} 'BEGIN { srand(seed); for (i = 0; i < n / 8; i++) printf \"%08x\", int(rand() * 4294967295) }' >$out" ];
    PATH = "/usr/bin:/bin";
    preferLocalBuild = true;
  };

  toplevel = name: host:
    let
      units = { "floe-agent.service" = agentUnit host; "floe-boot-guard.service" = guardUnit; } // host.units;
      etc = host.etc // {
        "floe/health-checks.json" = toJSON host.health;
        "floe/agent-policy.json" = toJSON host.policy;
      } // listToAttrs (map (unit: { name = "systemd/system/${unit}"; value = units.${unit}; }) (attrNames units));
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
        (special: "${special} ${toplevel "${name}-${special}" (removeAttrs (host // host.specialisations.${special}) [ "specialisations" ] // { specialisations = { }; })}")
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
      { inherit name; value.config = { networking.hostName = name; system.build.toplevel = toplevel name host; }; })
    (filter (file: match ".*\\.nix" file != null) (attrNames (readDir folder))));
}
