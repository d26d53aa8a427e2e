import { nixString } from '@floe/runtime';

/** A way to get at a secret. */
export interface Theft {
  readonly name: string;
  /** A Nix expression whose value is a string that holds what was stolen. */
  readonly expression: string;
  /**
   * Where it is seen to work without the sandbox: `impure`: when Nix may read what it likes; `pure`: in a flake too, which
   * is what a push gets. `nowhere`: Nix or the system hinders it already, and it is tried nevertheless.
   */
  readonly worksBare: 'pure' | 'impure' | 'nowhere';
  /** Only where builders run as the server's user, as with a single-user Nix. */
  readonly isSingleUser?: boolean;
  /** Whom the sandbox does not hinder: docs/operate.md says why. */
  readonly staysOpenFor?: readonly ('root' | 'user')[];
}

/** What the thefts are after, by its place. */
export interface Loot {
  readonly path: string;
  /** Of its content. */
  readonly sha256: string;
}

export interface Scene {
  readonly dataDir: string;
  /** Files with secrets, by their names. */
  readonly loot: Readonly<Record<string, Loot>>;
  /** Nix's hash of the folder with the keys, packed or not. */
  readonly keysNarHash: string;
  /** A repository that is not the fleet's, below the data folder. */
  readonly privateCommit: string;
  readonly privateNarHash: string;
  readonly databaseUrlSha256: string;
  /** Of what a port of this machine says. */
  readonly bannerSha256: string;
}

const SYSTEM = process.arch === 'arm64' ? 'aarch64-linux' : 'x86_64-linux';
let builds = 0;

/** What a builder prints to `$out`, read back in the evaluation (import from derivation). */
function built(script: string, attributes = ''): string {
  builds += 1;
  return `builtins.readFile (derivation { name = "theft-${builds}"; system = "${SYSTEM}"; builder = "/bin/sh"; PATH = "/usr/bin:/bin:/usr/sbin:/sbin"; args = [ "-c" ''exec 2>&1; { ${script}; } > $out || true'' ]; ${attributes} })`;
}

const PERL = (target: string): string => `perl -MIO::Socket -e 'my $s = ${target} or die; print <$s>'`;

/** All ways that are known, for one scene. */
export function thefts(scene: Scene): readonly Theft[] {
  const { dataDir, loot, keysNarHash, privateCommit, privateNarHash, databaseUrlSha256, bannerSha256 } = scene;
  const keys = `${dataDir}/keys`;
  const key = loot['release.pem'];
  if (key === undefined) throw new Error('the scene has no release key');
  const url = `file://${key.path}`;
  const pure = (name: string, expression: string): Theft => ({ name, expression, worksBare: 'pure' });
  const impure = (name: string, expression: string): Theft => ({ name, expression, worksBare: 'impure' });
  const never = (name: string, expression: string): Theft => ({ name, expression, worksBare: 'nowhere' });
  const builder = (name: string, script: string, attributes = ''): Theft => ({
    name,
    expression: built(script, attributes),
    worksBare: 'pure',
    isSingleUser: true,
  });
  const open = (name: string, expression: string, staysOpenFor: readonly ('root' | 'user')[]): Theft => ({
    name,
    expression,
    worksBare: 'pure',
    isSingleUser: true,
    staysOpenFor,
  });
  const fixed = (hash: string): string => `outputHashMode = "flat"; outputHashAlgo = "sha256"; outputHash = "${hash}";`;
  return [
    ...Object.entries(loot).map(([name, { path, sha256 }]) =>
      pure(`fetchurl of ${name}`, `builtins.readFile (builtins.fetchurl { url = "file://${path}"; sha256 = "${sha256}"; })`),
    ),
    impure(
      'readFile of everything',
      `builtins.concatStringsSep "" (map (path: if builtins.pathExists path then builtins.readFile path else "") [ ${Object.values(loot)
        .map(({ path }) => nixString(path))
        .join(' ')} ])`,
    ),
    pure(
      'fetchurl with a wrong hash, which tells the right one',
      `builtins.fetchurl { url = "${url}"; sha256 = "0000000000000000000000000000000000000000000000000000"; }`,
    ),
    impure('fetchurl without a hash', `builtins.readFile (builtins.fetchurl "${url}")`),
    pure(
      'fetchTarball',
      `builtins.readFile ((builtins.fetchTarball { url = "file://${dataDir}/backup.tar"; sha256 = "${keysNarHash}"; }) + "/release.pem")`,
    ),
    pure(
      'fetchTree path',
      `builtins.readFile ((builtins.fetchTree { type = "path"; path = "${keys}"; narHash = "${keysNarHash}"; }).outPath + "/release.pem")`,
    ),
    never('fetchTree path by its URL', `builtins.readFile ((builtins.fetchTree "path:${keys}").outPath + "/release.pem")`),
    pure(
      'fetchTree tarball',
      `builtins.readFile ((builtins.fetchTree { type = "tarball"; url = "file://${dataDir}/backup.tar"; narHash = "${keysNarHash}"; }).outPath + "/release.pem")`,
    ),
    never('fetchTree file', `builtins.readFile (builtins.fetchTree { type = "file"; url = "${url}"; }).outPath`),
    pure(
      'fetchTree git',
      `builtins.readFile ((builtins.fetchTree { type = "git"; url = "file://${dataDir}/private"; rev = "${privateCommit}"; narHash = "${privateNarHash}"; }).outPath + "/note")`,
    ),
    pure('fetchGit', `builtins.readFile ((builtins.fetchGit { url = "file://${dataDir}/private"; rev = "${privateCommit}"; }).outPath + "/note")`),
    impure('fetchGit of a work tree', `builtins.readFile ((builtins.fetchGit "${dataDir}/private").outPath + "/note")`),
    never('fetchMercurial', `builtins.readFile ((builtins.fetchMercurial "${dataDir}/private").outPath + "/note")`),
    pure(
      'getFlake of a path',
      `builtins.readFile ((builtins.getFlake "path:${dataDir}/plain?narHash=${encodeURIComponent(privateNarHash)}").outPath + "/note")`,
    ),
    impure('getFlake of a repository', `builtins.readFile ((builtins.getFlake "git+file://${dataDir}/private").outPath + "/note")`),
    impure('builtins.path', `builtins.readFile (builtins.path { path = "${key.path}"; name = "x"; })`),
    impure('filterSource', `builtins.readFile ((builtins.filterSource (p: t: true) "${keys}") + "/release.pem")`),
    impure('a path that becomes a string', `builtins.readFile "\${/. + "${key.path}"}"`),
    impure('readDir', `if (builtins.readDir "${keys}") ? "release.pem" then ("STO" + "LEN names") else "no"`),
    impure(
      'readFileType',
      `if builtins.pathExists "${key.path}" && (builtins.readFileType or (p: "regular")) "${key.path}" == "regular" then ("STO" + "LEN type") else "no"`,
    ),
    impure('pathExists', `if builtins.pathExists "${key.path}" then ("STO" + "LEN existence") else "no"`),
    impure('hashFile', `if builtins.hashFile "sha256" "${key.path}" == "${key.sha256}" then ("STO" + "LEN hash") else "no"`),
    impure('import', `import "${dataDir}/loot.nix"`),
    impure('a search path', `builtins.readFile (builtins.findFile [ { prefix = ""; path = "${keys}"; } ] "release.pem")`),
    impure('getEnv', 'builtins.getEnv "DATABASE_URL"'),
    impure('its own environment', built("tr '\\0' ' ' < ${builtins.fetchurl \"file:///proc/self/environ\"}")),
    never("the first process's environment", built("tr '\\0' ' ' < ${builtins.fetchurl \"file:///proc/1/environ\"}")),
    impure("the parent's root folder", `builtins.readFile "/proc/self/root${key.path}"`),
    never("the first process's root folder", `builtins.readFile (builtins.fetchurl "file:///proc/1/root${key.path}")`),
    never('storePath', `builtins.readFile (builtins.storePath "${key.path}")`),
    never('fetchClosure', `builtins.readFile (builtins.fetchClosure { fromStore = "file://${dataDir}"; fromPath = "${key.path}"; })`),
    never(
      "the first process's root folder as an input",
      `builtins.readFile (builtins.fetchTree { type = "path"; path = "/proc/1/root${keys}"; }).outPath`,
    ),
    never('a path that leaves the store', `builtins.readFile (builtins.toFile "x" "y" + "/../../..${key.path}")`),
    never('a reference graph', built('cat graph*', `exportReferencesGraph = [ "graph" "${key.path}" ];`)),
    never('structured attributes', built('cat .attrs.json', `__structuredAttrs = true; exportReferencesGraph.graph = [ "${key.path}" ];`)),
    never(
      'git over ssh, with the keys of the home',
      `builtins.fetchGit { url = "ssh://floe@127.0.0.1${dataDir}/private"; rev = "${privateCommit}"; }`,
    ),
    never('a git transport that is a program', `builtins.fetchGit { url = "ext::cat ${key.path}"; rev = "${privateCommit}"; }`),
    never(
      'a git option',
      `builtins.fetchGit { url = "file://${dataDir}/private"; ref = "--upload-pack=cat ${key.path} >&2"; rev = "${privateCommit}"; }`,
    ),
    never('a mercurial option', `builtins.fetchMercurial "--config=hooks.pre-init=cat ${key.path} >&2"`),
    never('builtins.exec', 'builtins.exec [ "cat" "/etc/passwd" ]'),
    builder(
      'a builder that reads',
      `cat ${keys}/* ${dataDir}/admin-token; cat ${Object.values(loot)
        .map(({ path }) => path)
        .join(' ')}`,
    ),
    builder('a builder that packs', `tar cf - -C ${dataDir} keys | tr -d '\\0'`),
    builder('a builder that looks everywhere', `grep -rah 'LOOT[0-9a-f]*' /var/lib /run /home /root /etc | tr -d '\\0'`),
    builder(
      'a builder that looks into other processes',
      `for p in /proc/[0-9]*; do tr '\\0' '\\n' < $p/environ; cat $p/root${key.path}; cat $p/cwd/../keys/*; done`,
    ),
    builder('a builder with host dependencies', `cat ${keys}/*`, `__impureHostDeps = [ "${keys}" ]; __noChroot = true;`),
    {
      name: 'a fixed output from the environment',
      expression: built('printf %s "$DATABASE_URL"', `impureEnvVars = [ "DATABASE_URL" ]; ${fixed(databaseUrlSha256)}`),
      worksBare: 'pure',
      isSingleUser: true,
    },
    {
      name: 'builtin:fetchurl',
      expression: `builtins.readFile (derivation { name = "f"; builder = "builtin:fetchurl"; system = "builtin"; url = "${url}"; outputHash = "${key.sha256}"; outputHashAlgo = "sha256"; outputHashMode = "flat"; executable = false; unpack = false; })`,
      worksBare: 'pure',
      isSingleUser: true,
    },
    builder("the database's socket", PERL('IO::Socket::UNIX->new("/run/postgresql/.s.PGSQL.5432")')),
    builder("docker's socket", PERL('IO::Socket::UNIX->new("/run/docker.sock")')),
    // The network is the machine's, for inputs and downloads.
    open('a port of this machine', built(PERL('IO::Socket::INET->new("127.0.0.1:5432")'), fixed(bannerSha256)), ['root', 'user']),
    never(
      'a builder that makes what is read-only writable',
      built('mount -o remount,bind,rw /usr; echo > /usr/floe-escape; umount -l /proc/sys; echo > /usr/bin/floe-escape'),
    ),
    never(
      'a builder with namespaces of its own',
      built(
        `unshare --user --map-root-user --mount sh -c 'mount -t tmpfs x /mnt; umount -l /nix; umount -l /tmp; mount -o remount,bind,rw /usr; echo > /usr/bin/floe-escape; cat ${key.path}'`,
      ),
    ),
    never(
      "a builder that changes the kernel's settings",
      built(
        `perl -e 'open(my $f, ">>", "/proc/sys/kernel/core_pattern") and print join("", "STO", "LEN kernel"); open($f, ">>", "/proc/sysrq-trigger") and print join("", "STO", "LEN sysrq")'`,
      ),
    ),
  ];
}
