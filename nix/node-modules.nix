# node_modules as package-lock.json says, without npm and without a hash of the whole: the lock file has the hash of each
# package. It has no URLs (omit-lockfile-registry-resolved), so that it is good for any registry; for npm's own they follow
# from name and version. Nixpkgs' importNpmLock and fetchNpmDeps both need the URLs in the file.
{
  lib,
  fetchurl,
  runCommand,
  lockFile,
  # As Node and the lock file name the platform to build on.
  os,
  cpu,
  libc,
}:
let
  packages = (lib.importJSON lockFile).packages;

  # "node_modules/a/node_modules/@b/c" is the package @b/c.
  nameOf = path: lib.last (lib.splitString "node_modules/" path);

  # In the lock file a list names what is allowed, or with "!" what is not.
  allows =
    field: value: package:
    let
      names = package.${field} or [ ];
      denied = builtins.filter (lib.hasPrefix "!") names;
    in
    names == [ ] || builtins.elem value names || (denied != [ ] && !builtins.elem "!${value}" denied);
  isForUs = package: allows "os" os package && allows "cpu" cpu package && allows "libc" libc package;

  npm = "registry.npmjs.org";

  # What has a hash comes from the registry; the rest are the packages of this repository.
  fetched = lib.filterAttrs (_: package: package ? integrity && isForUs package) packages;
  links = lib.filterAttrs (_: package: package.link or false) packages;

  tarball =
    path: package:
    let
      name = package.name or (nameOf path);
    in
    fetchurl {
      url = "https://${npm}/${name}/-/${baseNameOf name}-${package.version}.tgz";
      hash = package.integrity;
    };

  unpack = path: package: ''
    mkdir -p "$out/${path}"
    tar --extract --gzip --file ${tarball path package} --strip-components=1 --no-same-owner --directory "$out/${path}"
  '';

  # Relative, so that they hold wherever this is copied into the repository.
  link =
    path: package:
    let
      up = lib.concatMapStrings (_: "../") (lib.init (lib.splitString "/" path));
    in
    ''
      mkdir -p "$out/${dirOf path}"
      ln -s "${up}${package.resolved}" "$out/${path}"
    '';
in
runCommand "floe-node-modules" { } ''
  ${lib.concatStrings (lib.mapAttrsToList unpack fetched)}
  ${lib.concatStrings (lib.mapAttrsToList link links)}
  chmod -R u+rwX,go+rX "$out"
''
