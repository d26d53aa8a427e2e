/**
 * The variables that are passed to a command with untrusted code, which can read all of them. Whether a proxy's URL has a
 * password, and what NIX_CONFIG contains, is up to the operator.
 */
const ALLOWED = [
  'NIX_CONFIG',
  'TZ',
  'TZDIR',
  'LOCALE_ARCHIVE',
  'NIX_SSL_CERT_FILE',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'GIT_SSL_CAINFO',
  'CURL_CA_BUNDLE',
  'http_proxy',
  'https_proxy',
  'ftp_proxy',
  'all_proxy',
  'no_proxy',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'FTP_PROXY',
  'ALL_PROXY',
  'NO_PROXY',
] as const;

/** Those of {@link ALLOWED} that name a file or folder with certificates. */
export const CERTIFICATE_VARIABLES = ['NIX_SSL_CERT_FILE', 'SSL_CERT_FILE', 'SSL_CERT_DIR', 'GIT_SSL_CAINFO', 'CURL_CA_BUNDLE'] as const;

/** The whole environment of a command in the sandbox. */
export function sandboxEnv(
  env: NodeJS.ProcessEnv,
  own: { readonly home: string; readonly path: string; readonly nixRemote: string | undefined; readonly settings?: string },
): NodeJS.ProcessEnv {
  const allowed = Object.fromEntries(ALLOWED.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
  return {
    ...allowed,
    PATH: own.path,
    HOME: own.home,
    // Nix requires a user name; any will do.
    USER: 'floe',
    LC_ALL: 'C',
    // Files that untrusted code leaves in its home do not configure a later run.
    NIX_USER_CONF_FILES: '',
    GIT_CONFIG_GLOBAL: '/dev/null',
    GIT_TERMINAL_PROMPT: '0',
    ...(own.settings === undefined ? {} : withSettings({ NIX_CONFIG: env['NIX_CONFIG'] }, [own.settings])),
    ...(own.nixRemote === undefined ? {} : { NIX_REMOTE: own.nixRemote }),
  };
}

/** The environment with more lines of Nix's settings. */
export function withSettings(env: NodeJS.ProcessEnv, settings: readonly string[]): NodeJS.ProcessEnv {
  return settings.length === 0 ? env : { ...env, NIX_CONFIG: [env['NIX_CONFIG'] ?? '', ...settings].join('\n') };
}
