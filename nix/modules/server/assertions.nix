# Settings with which the server would not start fail at evaluation.
{ config, lib, ... }:
let
  cfg = config.services.floe.server;
  hasOwnBuilder = cfg.builderKeysFile != null;
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.database.createLocally -> cfg.database.urlFile == null;
        message = "services.floe.server.database: set createLocally or urlFile, not both";
      }
      {
        assertion =
          cfg.github.repository != null
          -> cfg.github.tokenFile != null
            || (cfg.github.appId != null && cfg.github.appKeyFile != null && cfg.github.installationId != null);
        message = "services.floe.server.github: set tokenFile, or appId, appKeyFile and installationId";
      }
      {
        assertion = cfg.github.repository != null -> cfg.forge == "github";
        message = "services.floe.server.github is set, and forge is ${cfg.forge}: a repository is at one forge, so unset the other";
      }
      {
        assertion = hasOwnBuilder -> cfg.database.createLocally || cfg.database.urlFile != null;
        message = "services.floe.server.builderKeysFile: a floe-builder works through a database that both reach: set database.createLocally or database.urlFile";
      }
      {
        assertion = hasOwnBuilder -> cfg.repository.tokenFile == null && cfg.repository.sshKeyFile == null && cfg.repository.knownHosts == [ ] && cfg.inputs == { };
        message = "services.floe.server.builderKeysFile: floe-builder fetches, and this server does not: take repository.tokenFile, repository.sshKeyFile, repository.knownHosts and inputs out, and set them there";
      }
      {
        # Here they would be without effect.
        assertion =
          hasOwnBuilder
          ->
            cfg.signers.ssh == null
            && cfg.signers.openPgp == null
            && cfg.signCommand == null
            && cfg.publish.to == null
            && cfg.publish.command == null
            && cfg.policyFloor == { }
            && cfg.repository.directory == null
            && !cfg.repository.submodules
            && cfg.evaluate.source == "commit"
            && cfg.evaluate.ignore == [ ]
            && cfg.evaluate.skip == null
            && cfg.evaluate.hostsFile == null
            && cfg.evaluate.attribute == "nixosConfigurations";
        message = "services.floe.server.builderKeysFile: floe-builder decides what is built: take signers, signCommand, publish, policyFloor, repository.directory, repository.submodules and evaluate out, and set them there";
      }
      {
        assertion = hasOwnBuilder -> cfg.cacheDir != null || cfg.cacheUrl != null;
        message = "services.floe.server.builderKeysFile: say where agents get what floe-builder publishes: set cacheDir to its folder, or cacheUrl";
      }
    ]
    ++ import ../shared/building-assertions.nix {
      inherit config lib cfg;
      option = "services.floe.server";
      user = "floe";
      runsRepositoryCode = !hasOwnBuilder;
    };
  };
}
