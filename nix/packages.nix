# floe-server, floe-builder, floe-agent and floe-cli: bundles that need nothing but Node.
{
  lib,
  stdenv,
  stdenvNoCC,
  cacert,
  makeWrapper,
  nodejs_24,
  nodejs-slim_24,
  bubblewrap,
  gitMinimal,
  gnupg,
  openssh,
  util-linux,
}:
let
  version = (lib.importJSON ../package.json).version;

  manifests = lib.fileset.fileFilter (file: file.name == "package.json");

  nodeModules = import ./node-modules.nix {
    inherit lib stdenvNoCC cacert;
    nodejs = nodejs_24;
    system = stdenv.buildPlatform.system;
    src = lib.fileset.toSource {
      root = ../.;
      fileset = lib.fileset.unions [
        ../package.json
        ../package-lock.json
        ../.npmrc
        (manifests ../apps)
        (manifests ../libs)
      ];
    };
  };

  # All apps at once; each package takes its own files out of this.
  bundles = stdenvNoCC.mkDerivation {
    pname = "floe-bundles";
    inherit version;
    src = lib.fileset.toSource {
      root = ../.;
      fileset = lib.fileset.unions [
        ../package.json
        ../tsconfig.json
        ../apps
        ../libs
        ../migrations
        ../scripts/bundle.ts
      ];
    };
    nativeBuildInputs = [ nodejs_24 ];
    buildPhase = ''
      runHook preBuild
      cp -r ${nodeModules}/node_modules node_modules
      chmod -R u+w node_modules
      HOME=$TMPDIR node node_modules/vite/bin/vite.js build apps/dashboard
      runHook postBuild
    '';
    installPhase = ''
      runHook preInstall
      node scripts/bundle.ts "$out"
      runHook postInstall
    '';
    # Scripts and WebAssembly: there is nothing to strip or patch.
    dontFixup = true;
  };

  # program: the bundle and its command; files: what else of the bundles it reads; path: programs that it calls.
  app =
    {
      program,
      description,
      files ? [ ],
      path ? [ ],
    }:
    stdenvNoCC.mkDerivation {
      pname = program;
      inherit version;
      dontUnpack = true;
      nativeBuildInputs = [ makeWrapper ];
      installPhase = ''
        runHook preInstall
        for file in ${lib.escapeShellArgs ([ "${program}.mjs" ] ++ files)}; do
          mkdir -p "$(dirname "$out/lib/floe/$file")"
          cp -r "${bundles}/$file" "$out/lib/floe/$file"
        done
        makeWrapper ${lib.getExe' nodejs-slim_24 "node"} "$out/bin/${program}" \
          --add-flags "$out/lib/floe/${program}.mjs" ${lib.optionalString (path != [ ]) "--suffix PATH : ${lib.makeBinPath path}"}
        runHook postInstall
      '';
      meta = {
        inherit description;
        license = lib.licenses.mit;
        mainProgram = program;
        platforms = lib.platforms.linux;
      };
    };
in
{
  floe-server = app {
    program = "floe-server";
    description = "Follows a fleet's repository, and brings its machines to what is committed there";
    files = [
      "mirror-worker.mjs"
      "spawner-process.mjs"
      "migrations"
      "apps"
      "node_modules"
    ];
    # bwrap keeps repository code apart. Nix itself fetches the mirror with git. Who signed a commit is asked of ssh-keygen and gpg. Nix is the machine's own.
    path = [
      bubblewrap
      gnupg
      openssh
      gitMinimal
      util-linux
    ];
  };
  floe-builder = app {
    program = "floe-builder";
    description = "Evaluates, builds and signs beside a floe-server without the release key";
    files = [
      "mirror-worker.mjs"
      "spawner-process.mjs"
      "migrations"
      "node_modules"
    ];
    path = [
      bubblewrap
      gnupg
      openssh
      gitMinimal
      util-linux
    ];
  };
  floe-agent = app {
    program = "floe-agent";
    description = "Keeps a machine on the system that its fleet's repository names";
  };
  floe-cli = app {
    program = "floe";
    description = "Watches and steers a fleet";
  };
}
