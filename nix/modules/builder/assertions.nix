# Settings with which the builder would not start, or would work beside the server on this machine without it, fail at evaluation.
{ config, lib, ... }:
let
  cfg = config.services.floe.builder;
  folders = import ../shared/folders.nix { inherit lib; };
  # "or": a machine has only the options of the modules that it imports.
  server = config.services.floe.server or { enable = false; };
  same = option: ours: theirs: {
    assertion = server.enable -> theirs == null || ours == theirs;
    message = "services.floe.builder.${option} is ${toString ours}, and services.floe.server.${option} is ${toString theirs}: both are about one fleet, so set them to the same";
  };
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      {
        assertion = cfg.database.local != (cfg.database.urlFile != null);
        message = "services.floe.builder.database: set one of local and urlFile: the builder works through the database of the server";
      }
      {
        assertion = cfg.database.local -> server.enable && server.database.createLocally;
        message = "services.floe.builder.database.local is on, and services.floe.server.database.createLocally is not on this machine: set that, or urlFile";
      }
      {
        assertion = server.enable -> server.builderKeysFile != null;
        message = "services.floe.server builds by itself on this machine: set services.floe.server.builderKeysFile = \"/var/lib/floe-builder/public-keys.json\"";
      }
      {
        assertion = cfg.cacheDir == null || !folders.isBelow "/var/lib/floe-builder" cfg.cacheDir;
        message = "services.floe.builder.cacheDir is in the folder that nobody else reads: leave it out, or name one elsewhere, such as /var/cache/floe";
      }
      {
        assertion = cfg.signCommand == null || cfg.releaseKeyFile == null;
        message = "services.floe.builder: releaseKeyFile or signCommand signs releases: set one of them";
      }
      (same "publicUrl" cfg.publicUrl (server.publicUrl or null))
      (same "repository.url" cfg.repository.url (server.repository.url or null))
      (same "repository.branch" cfg.repository.branch (server.repository.branch or null))
      (same "repository.testingBranches" cfg.repository.testingBranches (server.repository.testingBranches or null))
      (same "forge" cfg.forge (server.forge or null))
      {
        assertion = server.enable -> server.cacheDir == null || server.cacheDir == cfg.cacheDir;
        message = "services.floe.server.cacheDir is not the folder that floe-builder publishes to: set services.floe.builder.cacheDir to the same";
      }
    ]
    ++ import ../shared/building-assertions.nix {
      inherit config lib cfg;
      option = "services.floe.builder";
      user = "floe-builder";
      runsRepositoryCode = true;
    };
  };
}
