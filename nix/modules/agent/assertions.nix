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
    ]
    ++ import ./readable-file.nix { inherit lib; } {
      option = "enrolmentTokenFile";
      file = cfg.enrolmentTokenFile;
      example = "/run";
    };

    warnings = lib.optional (!isEncrypted && !isHere) "services.floe.agent.serverUrl is ${cfg.serverUrl}: the connection to the server is not encrypted, and others on the network can read the enrolment token. Use https://";
  };
}
