# node_modules as package-lock.json says, installed by npm itself. Nix knows the result by its hash, per platform, so that the
# build may reach the registry; `sh scripts/run.sh node-modules` renews the hashes after a change of the lock file.
{
  lib,
  stdenvNoCC,
  nodejs,
  cacert,
  # The repository, with the manifests that npm reads.
  src,
  # As Nix names the platform to build on: x86_64-linux.
  system,
}:
stdenvNoCC.mkDerivation {
  name = "floe-node-modules";
  inherit src;
  nativeBuildInputs = [ nodejs ];
  NODE_EXTRA_CA_CERTS = "${cacert}/etc/ssl/certs/ca-bundle.crt";
  impureEnvVars = lib.fetchers.proxyImpureEnvVars ++ [ "npm_config_registry" ];
  dontConfigure = true;
  buildPhase = ''
    HOME=$TMPDIR sh ${./node-modules.sh} "$out" ${if lib.hasPrefix "aarch64" system then "arm64" else "x64"}
  '';
  dontInstall = true;
  # A result that is known by its hash refers to nothing in the store.
  dontFixup = true;
  outputHashMode = "recursive";
  outputHash = (lib.importJSON ./node-modules.json).${system};
}
