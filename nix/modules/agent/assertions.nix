# Settings that would leave a machine without its agent fail at evaluation, not on the machine.
{ config, lib, ... }:
let
  cfg = config.services.floe.agent;

  enrolment = "\"floe enrol ${cfg.host}\" prints what to put here";
  filled = name: {
    assertion = cfg.${name} != [ ];
    message = "services.floe.agent.${name} is empty: ${enrolment}";
  };
  isEncrypted = lib.hasPrefix "https://" cfg.serverUrl;
  isHere = builtins.match "http://(localhost|127[.][0-9.]+|\\[::1])([:/].*)?" cfg.serverUrl != null;
in
{
  config = lib.mkIf cfg.enable {
    assertions = [
      (filled "trustedReleaseKeys")
      (filled "trustedServerKeys")
      (filled "substituters")
      (filled "trustedPublicKeys")
      {
        assertion = cfg.host != "";
        message = "services.floe.agent.host is empty: set it, or networking.hostName, to this machine's name in nixosConfigurations";
      }
      {
        assertion = cfg.userGroup != null -> config.users.groups ? ${cfg.userGroup};
        message = "services.floe.agent.userGroup is \"${toString cfg.userGroup}\", but there is no such group: name another one, or add users.groups.\"${toString cfg.userGroup}\" = { }";
      }
      {
        assertion = cfg.notifications.enable -> cfg.userGroup != null;
        message = "services.floe.agent.notifications.enable is on, but no user may use the agent's socket: set userGroup to a group of this machine's users";
      }
      {
        # The store can be read by everyone, here and in the cache.
        assertion = cfg.enrolmentTokenFile != null -> !lib.hasPrefix builtins.storeDir cfg.enrolmentTokenFile;
        message = "services.floe.agent.enrolmentTokenFile is in the Nix store, where everyone can read it: give the path of a file on the machine, as a string";
      }
      {
        # See ProtectHome and PrivateTmp of the service.
        assertion =
          cfg.enrolmentTokenFile != null
          -> lib.all (folder: !lib.hasPrefix folder cfg.enrolmentTokenFile) [
            "/home/"
            "/root/"
            "/run/user/"
            "/tmp/"
            "/var/tmp/"
          ];
        message = "services.floe.agent.enrolmentTokenFile is in a folder that the service cannot read (homes, /tmp): put the file elsewhere, for example in /run";
      }
    ];

    warnings = lib.optional (!isEncrypted && !isHere) "services.floe.agent.serverUrl is ${cfg.serverUrl}: the connection to the server is not encrypted, and others on the network can read the enrolment token. Use https://";
  };
}
