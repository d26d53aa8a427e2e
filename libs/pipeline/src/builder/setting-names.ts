/** Which of the two reads settings, and says what is wrong. */
export type Program = 'floe-server' | 'floe-builder';

/** The names of the settings in the NixOS modules, which set the variables. A test compares them with the modules. */
export const NIXOS_OPTIONS: ReadonlyMap<string, string> = new Map([
  ['FLOE_REPOSITORY_URL', 'repository.url'],
  ['FLOE_REPOSITORY_BRANCH', 'repository.branch'],
  ['FLOE_REPOSITORY_DIRECTORY', 'repository.directory'],
  ['FLOE_REPOSITORY_TOKEN_FILE', 'repository.tokenFile'],
  ['FLOE_REPOSITORY_SSH_KEY_FILE', 'repository.sshKeyFile'],
  ['FLOE_REPOSITORY_KNOWN_HOSTS_FILE', 'repository.knownHosts'],
  ['FLOE_REPOSITORY_MAX_MIB', 'repository.maxMib'],
  ['FLOE_REPOSITORY_MAX_FILE_MIB', 'repository.maxFileMib'],
  ['FLOE_REPOSITORY_SILENCE_SECONDS', 'repository.silenceSeconds'],
  ['FLOE_REPOSITORY_TESTING_BRANCHES', 'repository.testingBranches'],
  ['FLOE_REPOSITORY_SUBMODULES', 'repository.submodules'],
  ['FLOE_EVALUATE_SOURCE', 'evaluate.source'],
  ['FLOE_EVALUATE_IGNORE', 'evaluate.ignore'],
  ['FLOE_EVALUATE_SKIP', 'evaluate.skip'],
  ['FLOE_EVALUATE_HOSTS_FILE', 'evaluate.hostsFile'],
  ['FLOE_EVALUATE_ATTRIBUTE', 'evaluate.attribute'],
  ['FLOE_FORGE', 'forge'],
  ['FLOE_WEBHOOK_SECRET_FILE', 'webhookSecretFile'],
  ['FLOE_WEBHOOK_PREVIOUS_SECRET_FILE', 'webhookPreviousSecretFile'],
  ['FLOE_GITHUB_REPOSITORY', 'github.repository'],
  ['FLOE_GITHUB_API_URL', 'github.apiUrl'],
  ['FLOE_GITHUB_TOKEN_FILE', 'github.tokenFile'],
  ['FLOE_GITHUB_APP_ID', 'github.appId'],
  ['FLOE_GITHUB_APP_KEY_FILE', 'github.appKeyFile'],
  ['FLOE_GITHUB_INSTALLATION_ID', 'github.installationId'],
  ['FLOE_DATABASE_URL_FILE', 'database.urlFile'],
  ['FLOE_NOTIFY_FILE', 'notifications'],
  ['FLOE_POLICY_FLOOR', 'policyFloor'],
  ['FLOE_SSH_SIGNERS_FILE', 'signers.ssh'],
  ['FLOE_OPENPGP_SIGNERS_FILE', 'signers.openPgp'],
  ['FLOE_OPERATOR_KEYS_FILE', 'operatorKeys'],
  ['FLOE_PROBES_FILE', 'probes'],
  ['FLOE_INPUTS_FILE', 'inputs'],
  ['FLOE_LISTEN', 'listen'],
  ['FLOE_PUBLIC_URL', 'publicUrl'],
  ['FLOE_TRUSTED_PROXIES', 'trustedProxies'],
  ['FLOE_TAKE_OVER_FROM', 'takeOverFrom'],
  ['FLOE_BUILDER_KEYS_FILE', 'builderKeysFile'],
  ['FLOE_RELEASE_KEY_FILE', 'releaseKeyFile'],
  ['FLOE_CACHE_KEY_FILE', 'cacheKeyFile'],
  ['FLOE_SIGN_COMMAND', 'signCommand'],
  ['FLOE_SIGN_PUBLIC_KEY', 'signPublicKey'],
  ['FLOE_TRUST_SERVER_WITH_SUBMISSIONS', 'trustServerWithSubmissions'],
  ['FLOE_CACHE_URL', 'cacheUrl'],
  ['FLOE_CACHE_UPSTREAM_URLS', 'cacheUpstreamUrls'],
  ['FLOE_CACHE_PUBLIC_KEYS', 'cachePublicKeys'],
  ['FLOE_PUBLISH_TO', 'publish.to'],
  ['FLOE_PUBLISH_COMMAND', 'publish.command'],
  ['FLOE_PUBLISH_CREDENTIALS_FILE', 'publish.credentialsFile'],
  ['FLOE_PUBLISH_KNOWN_HOSTS_FILE', 'publish.knownHosts'],
  ['FLOE_PUBLISH_TIMEOUT_SECONDS', 'publish.timeoutSeconds'],
  ['FLOE_CACHE_DIR', 'cacheDir'],
  ['FLOE_CACHE_KEEP_DAYS', 'cacheKeepDays'],
  ['FLOE_CACHE_MAX_GIB', 'cacheMaxGib'],
  ['FLOE_POLL_SECONDS', 'pollSeconds'],
  ['FLOE_HISTORY_DAYS', 'historyDays'],
  ['FLOE_EVALUATION_TIMEOUT_SECONDS', 'evaluationTimeoutSeconds'],
  ['FLOE_EVALUATION_MEMORY_MIB', 'evaluationMemoryMib'],
  ['FLOE_BUILD_TIMEOUT_SECONDS', 'buildTimeoutSeconds'],
  ['FLOE_BUILD_MEMORY_MIB', 'buildMemoryMib'],
  ['FLOE_LOG_LEVEL', 'logLevel'],
  ['FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS', 'unsafe.runRepositoryCodeWithAccessToKeys'],
]);

/**
 * Rewrites the setting names in a message: `configuredBy` is "nixos" where the module wrote the environment. Messages are written
 * with the variables' names, and pass through here when they leave the program.
 */
export function nameSettings(message: string, configuredBy: string | undefined, program: Program): string {
  if (configuredBy !== 'nixos') return message;
  return message.replaceAll(/\bFLOE_[A-Z_]+\b/g, (variable) => {
    const option = NIXOS_OPTIONS.get(variable);
    return option === undefined ? variable : `services.${program.replace('-', '.')}.${option}`;
  });
}
