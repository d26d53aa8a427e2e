# What keeps the service from reading a file that an option names, or lets everyone read it: assertions.
{ lib }:
{
  option,
  file,
  # Where to put it instead.
  example,
}:
lib.optionals (file != null) [
  {
    # The store can be read by everyone, here and in the cache.
    assertion = !lib.hasPrefix builtins.storeDir file;
    message = "services.floe.agent.${option} is in the Nix store, where everyone can read it: give the path of a file on the machine, as a string";
  }
  {
    # See ProtectHome and PrivateTmp of the service.
    assertion = lib.all (folder: !lib.hasPrefix folder file) [
      "/home/"
      "/root/"
      "/run/user/"
      "/tmp/"
      "/var/tmp/"
    ];
    message = "services.floe.agent.${option} is in a folder that the service cannot read (homes, /tmp): put the file elsewhere, for example in ${example}";
  }
]
