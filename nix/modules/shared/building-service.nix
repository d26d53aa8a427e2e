# What a builder reads, in the server's unit or in its own: settings, files with secrets, and files in /etc. `cfg` has the options of
# building-options.nix; `unit` is the unit's name, and `file` the beginning of its files in /etc.
{
  lib,
  cfg,
  unit,
  file,
}:
let
  lines = texts: lib.concatStringsSep "\n" texts + "\n";
  isUnconfined = cfg.unsafe.runRepositoryCodeWithAccessToKeys;
  isSet = lib.filterAttrs (_: value: value != null);

  # host → option → the name of the unit's credential, which has no colon. Those that are set.
  inputSecrets = lib.mapAttrs (
    host: input:
    lib.mapAttrs (option: _: "input-${lib.replaceStrings [ ":" ] [ "-" ] host}-${option}") (
      lib.filterAttrs (option: value: value != null && lib.elem option [ "tokenFile" "sshKeyFile" ]) input
    )
  ) cfg.inputs;
  inputsFile = builtins.toJSON {
    inputs = lib.mapAttrs (host: input: isSet input // lib.mapAttrs (_: name: "/run/credentials/${unit}.service/${name}") inputSecrets.${host}) cfg.inputs;
  };
in
{
  # Setting → file. systemd hands each to the service alone, as a credential.
  secrets = {
    FLOE_REPOSITORY_TOKEN_FILE = cfg.repository.tokenFile;
    FLOE_REPOSITORY_SSH_KEY_FILE = cfg.repository.sshKeyFile;
    FLOE_DATABASE_URL_FILE = cfg.database.urlFile;
    FLOE_PUBLISH_CREDENTIALS_FILE = cfg.publish.credentialsFile;
  };
  credentials = lib.concatMap (host: lib.mapAttrsToList (option: name: "${name}:${cfg.inputs.${host}.${option}}") inputSecrets.${host}) (
    builtins.attrNames cfg.inputs
  );
  restartTriggers = lib.optional (cfg.inputs != { }) inputsFile;

  etc = lib.mkMerge [
    (lib.mkIf (cfg.repository.knownHosts != [ ]) { "${file}repository-known-hosts".text = lines cfg.repository.knownHosts; })
    (lib.mkIf (cfg.publish.knownHosts != [ ]) { "${file}publish-known-hosts".text = lines cfg.publish.knownHosts; })
    (lib.mkIf (cfg.inputs != { }) { "${file}inputs.json".text = inputsFile; })
    (lib.mkIf (cfg.signers.ssh != null) { "${file}ssh-signers".text = lines ([ "# Who may sign commits." ] ++ cfg.signers.ssh); })
    (lib.mkIf (cfg.operatorKeys != null) { "${file}operator-keys".text = lines ([ "# Who may take hosts back." ] ++ cfg.operatorKeys); })
    (lib.mkIf (cfg.signers.openPgp != null) { "${file}openpgp-signers".text = lines cfg.signers.openPgp; })
  ];

  settings = {
    FLOE_REPOSITORY_URL = cfg.repository.url;
    FLOE_REPOSITORY_BRANCH = cfg.repository.branch;
    FLOE_REPOSITORY_DIRECTORY = cfg.repository.directory;
    FLOE_REPOSITORY_KNOWN_HOSTS_FILE = if cfg.repository.knownHosts == [ ] then null else "/etc/${file}repository-known-hosts";
    FLOE_REPOSITORY_MAX_MIB = cfg.repository.maxMib;
    FLOE_REPOSITORY_MAX_FILE_MIB = cfg.repository.maxFileMib;
    FLOE_REPOSITORY_SILENCE_SECONDS = cfg.repository.silenceSeconds;
    FLOE_REPOSITORY_TESTING_BRANCHES = cfg.repository.testingBranches;
    FLOE_REPOSITORY_SUBMODULES = if cfg.repository.submodules then "yes" else null;
    FLOE_EVALUATE_SOURCE = cfg.evaluate.source;
    FLOE_EVALUATE_IGNORE = if cfg.evaluate.ignore == [ ] then null else lib.concatStringsSep "," cfg.evaluate.ignore;
    FLOE_EVALUATE_SKIP = cfg.evaluate.skip;
    FLOE_EVALUATE_HOSTS_FILE = cfg.evaluate.hostsFile;
    FLOE_EVALUATE_ATTRIBUTE = if cfg.evaluate.attribute == "nixosConfigurations" then null else cfg.evaluate.attribute;
    FLOE_FORGE = cfg.forge;
    FLOE_PUBLIC_URL = cfg.publicUrl;
    FLOE_POLICY_FLOOR = if cfg.policyFloor == { } then null else builtins.toJSON cfg.policyFloor;
    FLOE_SSH_SIGNERS_FILE = if cfg.signers.ssh == null then null else "/etc/${file}ssh-signers";
    FLOE_OPENPGP_SIGNERS_FILE = if cfg.signers.openPgp == null then null else "/etc/${file}openpgp-signers";
    FLOE_OPERATOR_KEYS_FILE = if cfg.operatorKeys == null then null else "/etc/${file}operator-keys";
    FLOE_SIGN_COMMAND = if cfg.signCommand == null then null else builtins.toJSON cfg.signCommand;
    FLOE_SIGN_PUBLIC_KEY = cfg.signPublicKey;
    FLOE_INPUTS_FILE = if cfg.inputs == { } then null else "/etc/${file}inputs.json";
    FLOE_CACHE_DIR = cfg.cacheDir;
    FLOE_CACHE_URL = cfg.cacheUrl;
    FLOE_CACHE_UPSTREAM_URLS = if cfg.cacheUpstreamUrls == [ ] then null else lib.concatStringsSep "," cfg.cacheUpstreamUrls;
    FLOE_CACHE_PUBLIC_KEYS = if cfg.cachePublicKeys == [ ] then null else lib.concatStringsSep " " cfg.cachePublicKeys;
    FLOE_PUBLISH_TO = cfg.publish.to;
    FLOE_PUBLISH_COMMAND = if cfg.publish.command == null then null else builtins.toJSON cfg.publish.command;
    FLOE_PUBLISH_KNOWN_HOSTS_FILE = if cfg.publish.knownHosts == [ ] then null else "/etc/${file}publish-known-hosts";
    FLOE_PUBLISH_TIMEOUT_SECONDS = cfg.publish.timeoutSeconds;
    FLOE_CACHE_KEEP_DAYS = cfg.cacheKeepDays;
    FLOE_CACHE_MAX_GIB = cfg.cacheMaxGib;
    FLOE_POLL_SECONDS = cfg.pollSeconds;
    FLOE_EVALUATION_TIMEOUT_SECONDS = cfg.evaluationTimeoutSeconds;
    FLOE_EVALUATION_MEMORY_MIB = cfg.evaluationMemoryMib;
    FLOE_BUILD_TIMEOUT_SECONDS = cfg.buildTimeoutSeconds;
    FLOE_BUILD_MEMORY_MIB = cfg.buildMemoryMib;
    FLOE_LOG_LEVEL = cfg.logLevel;
    FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS = if isUnconfined then "yes" else null;
  };

  # Nix starts ssh.
  publishesBySsh = cfg.publish.to != null && lib.hasPrefix "ssh" cfg.publish.to;

  daemon = lib.mkIf (!isUnconfined) {
    MemoryMax = lib.mkDefault (if cfg.buildMemoryMib == null then "80%" else "${toString cfg.buildMemoryMib}M");
    # A build that is killed must not end the daemon, and with it all other builds.
    OOMPolicy = lib.mkDefault "continue";
  };
}
