/** How the settings that messages name are called in the NixOS module, which sets them as variables. */
const NIXOS_OPTIONS: Readonly<Record<string, string>> = {
  FLOE_REPOSITORY_URL: 'repository.url',
  FLOE_REPOSITORY_BRANCH: 'repository.branch',
  FLOE_REPOSITORY_DIRECTORY: 'repository.directory',
  FLOE_REPOSITORY_TOKEN_FILE: 'repository.tokenFile',
  FLOE_REPOSITORY_MAX_MIB: 'repository.maxMib',
  FLOE_REPOSITORY_MAX_FILE_MIB: 'repository.maxFileMib',
  FLOE_REPOSITORY_SILENCE_SECONDS: 'repository.silenceSeconds',
  FLOE_WEBHOOK_SECRET_FILE: 'webhookSecretFile',
  FLOE_WEBHOOK_PREVIOUS_SECRET_FILE: 'webhookPreviousSecretFile',
  FLOE_GITHUB_TOKEN_FILE: 'github.tokenFile',
  FLOE_GITHUB_APP_KEY_FILE: 'github.appKeyFile',
};

/** A setting by the name that its reader used: `configuredBy` is "nixos" where the module wrote the environment. */
export function settingName(variable: string, configuredBy: string | undefined): string {
  const option = configuredBy === 'nixos' ? NIXOS_OPTIONS[variable] : undefined;
  return option === undefined ? variable : `services.floe.server.${option}`;
}
