# The options of NixOS that the agent's module sets or reads, as strict as NixOS is about them.
{ lib, ... }:
let
  inherit (lib) mkOption types;

  option = type: mkOption { inherit type; };
  set = type: default: mkOption { inherit type default; };
  words = set (types.listOf types.str) [ ];
  setting = types.either types.bool (types.either types.int (types.either types.str (types.listOf types.str)));

  service = types.submodule {
    options = {
      description = option types.str;
      documentation = words;
      wantedBy = words;
      wants = words;
      after = words;
      before = words;
      conflicts = words;
      requires = words;
      requiredBy = words;
      partOf = words;
      path = set (types.listOf (types.either types.package types.str)) [ ];
      environment = set (types.attrsOf types.str) { };
      unitConfig = set (types.attrsOf setting) { };
      serviceConfig = set (types.attrsOf setting) { };
      restartTriggers = words;
      restartIfChanged = set types.bool true;
      stopIfChanged = set types.bool true;
    };
  };
  assertion = types.submodule {
    options = {
      assertion = option types.bool;
      message = option types.str;
    };
  };
  file = types.submodule {
    options = {
      text = option types.str;
      source = set (types.nullOr types.str) null;
    };
  };
in
{
  options = {
    assertions = set (types.listOf assertion) [ ];
    warnings = words;
    boot.loader.efi.efiSysMountPoint = set types.str "/boot";
    boot.loader.systemd-boot.enable = set types.bool false;
    boot.loader.systemd-boot.xbootldrMountPoint = set (types.nullOr types.str) null;
    environment.etc = set (types.attrsOf file) { };
    environment.persistence = set (types.attrsOf types.raw) { };
    environment.systemPackages = set (types.listOf types.package) [ ];
    fileSystems = set (types.attrsOf types.raw) { };
    networking.hostName = set types.str "ada";
    nix.package = option types.package;
    preservation.enable = set types.bool false;
    preservation.preserveAt = set (types.attrsOf types.raw) { };
    systemd.package = option types.package;
    systemd.tmpfiles.rules = words;
    systemd.services = set (types.attrsOf service) { };
    systemd.user.services = set (types.attrsOf service) { };
    time.timeZone = set (types.nullOr types.str) null;
    users.groups = set (types.attrsOf types.raw) { };
  };
}
