# The lock of NixOS's switches, from the start of the machine on: NixOS makes it at the first switch, for all to read, and who can read it
# can hold it forever.
{ config, lib, ... }:
{
  config = lib.mkIf config.services.floe.agent.enable {
    systemd.tmpfiles.rules = [
      "d /run/nixos 0755 root root -"
      # ":": one that is there is left to the agent, since users may have it open (apps/agent/src/machines/nixos/close-lock.ts).
      "f /run/nixos/switch-to-configuration.lock :0600 root root -"
    ];
  };
}
