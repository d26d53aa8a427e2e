# What neither a server nor a builder starts with, and, where code from the repository runs, what would open its sandbox.
{
  config,
  lib,
  cfg,
  option,
  user,
  runsRepositoryCode,
}:
let
  folders = import ./folders.nix { inherit lib; };
  isElsewhere = cfg.publish.to != null || cfg.publish.command != null;
  isSsh = !lib.hasPrefix "http://" cfg.repository.url && !lib.hasPrefix "https://" cfg.repository.url;
  isUnconfined = cfg.unsafe.runRepositoryCodeWithAccessToKeys;
  input = host: input: [
    {
      assertion = input.tokenFile != null || input.sshKeyFile != null;
      message = "${option}.inputs.\"${host}\": set tokenFile, or sshKeyFile and knownHosts";
    }
    {
      assertion = (input.sshKeyFile != null) == (input.knownHosts != [ ]);
      message = "${option}.inputs.\"${host}\": set sshKeyFile and knownHosts, or neither";
    }
  ];
in
[
  {
    assertion = (cfg.repository.sshKeyFile != null) == (cfg.repository.knownHosts != [ ]);
    message = "${option}.repository: set sshKeyFile and knownHosts, or neither";
  }
  {
    assertion = isSsh || cfg.repository.sshKeyFile == null;
    message = "${option}.repository: sshKeyFile and knownHosts are for an SSH address, and url is none: take them out, or set url to one";
  }
  {
    assertion = isSsh -> cfg.repository.tokenFile == null;
    message = "${option}.repository: tokenFile is not for an SSH address: take it out, or set url to the https:// address";
  }
  {
    assertion = isSsh && runsRepositoryCode -> cfg.repository.sshKeyFile != null || cfg.repository.knownHosts != [ ];
    message = "${option}.repository: url is an SSH address: set sshKeyFile and knownHosts, or url to the https:// address";
  }
  {
    assertion = cfg.repository.submodules -> cfg.repository.directory == null || cfg.repository.directory == ".";
    message = "${option}.repository.submodules needs the flake.nix at the root of the repository: leave it out, or move the flake and leave repository.directory out";
  }
  {
    assertion = cfg.evaluate.source == "tree" -> cfg.repository.directory == null || cfg.repository.directory == ".";
    message = "${option}.evaluate.source = \"tree\" needs the flake.nix at the root of the repository: leave it out, or move the flake and leave repository.directory out";
  }
  {
    assertion = (cfg.signCommand == null) == (cfg.signPublicKey == null);
    message = "${option}: set signCommand and signPublicKey, the command that signs releases and its key, or neither";
  }
  {
    assertion = cfg.signCommand != null -> cfg.signCommand != [ ] && lib.hasPrefix "/" (builtins.head cfg.signCommand);
    message = "${option}.signCommand: name the program by its absolute path";
  }
  {
    assertion = cfg.publish.to == null || cfg.publish.command == null;
    message = "${option}.publish: set one of to and command";
  }
  {
    assertion = cfg.publish.command != null -> cfg.publish.command != [ ] && lib.hasPrefix "/" (builtins.head cfg.publish.command);
    message = "${option}.publish.command: name the program by its absolute path";
  }
  {
    assertion = isElsewhere -> cfg.cacheUrl != null;
    message = "${option}.publish: set ${option}.cacheUrl to where hosts download what is published";
  }
  {
    assertion =
      isElsewhere
      || cfg.publish.credentialsFile == null && cfg.publish.knownHosts == [ ] && cfg.cacheUpstreamUrls == [ ] && cfg.cachePublicKeys == [ ];
    message = "${option}: publish.credentialsFile, publish.knownHosts, cacheUpstreamUrls and cachePublicKeys are about a cache elsewhere: set publish.to or publish.command, or take them out";
  }
]
++ lib.optionals (cfg.cacheDir != null) (
  # It is given to the service's user, and the service sees no others.
  folders.mustBeOwn {
    option = "${option}.cacheDir";
    path = cfg.cacheDir;
    moreShared = [ "/var/lib/${user}" ];
    example = "/var/cache/floe";
  }
)
++ lib.concatMap (host: input host cfg.inputs.${host}) (builtins.attrNames cfg.inputs)
++ lib.optionals runsRepositoryCode [
  {
    assertion = isUnconfined || config.security.allowUserNamespaces;
    message = "${option} keeps the repository's code apart in user namespaces: set security.allowUserNamespaces = true (and on a hardened kernel security.unprivilegedUsernsClone)";
  }
  {
    assertion = isUnconfined || config.nix.settings.sandbox == true;
    message = "${option}: what the repository builds must run in Nix's sandbox: set nix.settings.sandbox = true";
  }
  {
    assertion = isUnconfined || !(lib.elem user config.nix.settings.trusted-users || lib.elem "*" config.nix.settings.trusted-users);
    message = "${option} evaluates foreign code: take ${user} and * out of nix.settings.trusted-users, which may do what root may";
  }
]
