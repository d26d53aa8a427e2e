# Machines that forget: whose root is empty at each start (impermanence). What the agent needs of them has to be kept, or named.
{ config, lib, ... }:
let
  cfg = config.services.floe.agent;
  keyFile = cfg.identity.keyFile;

  isMemory = mount: builtins.elem (mount.fsType or "auto") [
    "tmpfs"
    "ramfs"
  ];
  inherit (import ../shared/folders.nix { inherit lib; }) isBelow;

  # "or": a machine has only the options of its own NixOS and of the modules that it imports.
  fileSystems = config.fileSystems or { };
  # The module of impermanence, and that of preservation.
  kept =
    builtins.filter (each: each.enable or true) (builtins.attrValues (config.environment.persistence or { }))
    ++ (if config.preservation.enable or false then builtins.attrValues (config.preservation.preserveAt or { }) else [ ]);
  pathOf = each: if builtins.isString each then each else each.directory or each.dirPath or each.file or each.filePath or "";
  keptPaths = builtins.concatMap (each: map pathOf ((each.directories or [ ]) ++ (each.files or [ ]))) kept;

  forgets = kept != [ ] || isMemory (fileSystems."/" or { });
  # The mount point nearest to the path: the longest.
  mountOf = path: builtins.foldl' (
    found: mount: if isBelow mount path && builtins.stringLength mount > builtins.stringLength found then mount else found
  ) "/" (builtins.attrNames fileSystems);
  isKept =
    path: !forgets || builtins.any (folder: isBelow folder path) keptPaths || (mountOf path != "/" && !isMemory fileSystems.${mountOf path});

  state = "/var/lib/floe-agent";
  lines = ''environment.persistence."/persist" = { directories = [ "${state}" ]; files = [ "/etc/machine-id" ]; };'';
  hasMachineId = isKept "/etc/machine-id" || config.environment.etc ? "machine-id";
in
{
  config = lib.mkIf cfg.enable {
    assertions = import ./readable-file.nix { inherit lib; } {
      option = "identity.keyFile";
      file = keyFile;
      example = "/etc/ssh";
    };

    warnings =
      lib.optional (!isKept state && keyFile == null)
        "this machine forgets ${state} at each start, and with it its enrolment: an administrator would have to enrol it each time. Keep it (${lines}), or set services.floe.agent.identity.keyFile to a key that is kept, such as its SSH host key"
      ++
        lib.optional (!isKept state && keyFile != null)
          "this machine forgets ${state} at each start: it is enrolled by its key, but forgets what its users chose and what it rolled back, and systems that need a restart may have no boot guard. Keep it: ${lines}"
      ++
        lib.optional (isKept state && keyFile == null && !hasMachineId)
          "this machine has another /etc/machine-id at each start, and would be taken for a copy of itself (HOST_CLONED). Keep it (${lines}), or set services.floe.agent.identity.keyFile to a key that is kept, such as its SSH host key"
      # A secret of /run comes back at each start.
      ++
        lib.optional (keyFile != null && !lib.hasPrefix "/run/" keyFile && !isKept keyFile)
          "this machine forgets services.floe.agent.identity.keyFile (${keyFile}) at each start: keep that file, or name the one in the folder that is kept (/persist${keyFile})";
  };
}
