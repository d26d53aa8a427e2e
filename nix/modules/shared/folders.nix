# Folders that a module makes and opens to its unit.
{ lib }:
let
  # Without what systemd leaves out of paths.
  partsOf = path: lib.filter (part: builtins.isString part && part != "" && part != ".") (builtins.split "/" path);
  plain = path: "/${lib.concatStringsSep "/" (partsOf path)}";
  # Also of the folder itself.
  isBelow = folder: path: plain folder == "/" || lib.hasPrefix "${plain folder}/" "${plain path}/";

  # Every program on the machine uses them; what is below can be one program's own.
  shared = [
    "/"
    "/etc"
    "/mnt"
    "/opt"
    "/run"
    "/srv"
    "/usr"
    "/var"
    "/var/cache"
    "/var/lib"
    "/var/log"
  ];
  # And in these nobody else sees what a unit writes (ProtectHome, PrivateTmp), or nothing of the kind belongs.
  closed = [
    "/boot"
    "/dev"
    "/home"
    "/nix"
    "/proc"
    "/root"
    "/run/user"
    "/sys"
    "/tmp"
    "/var/tmp"
  ];
in
{
  inherit plain isBelow;

  # `path` is the option's value, in `folder` or that itself. `moreClosed`: not there and not below; `moreShared`: not there.
  mustBeOwn =
    {
      option,
      path,
      folder ? path,
      moreClosed ? [ ],
      moreShared ? [ ],
      example,
    }:
    [
      {
        assertion = !lib.elem ".." (partsOf folder);
        message = "${option} is ${path}: write the path without ..";
      }
      {
        assertion = !lib.elem (plain folder) (shared ++ moreShared) && lib.all (each: !isBelow each folder) (closed ++ moreClosed);
        message = "${option} is in ${plain folder}, which others use, or which its service cannot use: give it a folder of its own, for example ${example}";
      }
    ];
}
