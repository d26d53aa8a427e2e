import { chmod, mkdir, stat } from 'node:fs/promises';
import { openSandbox, openUnsafeSandbox, type Sandbox } from '@floe/nix';
import { FloeError, isFloeError, type Clock, type Exec, type Logger } from '@floe/runtime';
import type { BuilderConfig } from './builder-config.ts';
import { dataPaths } from './data-paths.ts';

/** The setting that starts without the sandbox, with a name that says what it gives up. */
const UNSAFE_SETTING = 'FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS';
const UNSAFE_STORE_SETTING = 'FLOE_UNSAFE_LET_BUILDS_CHANGE_THE_STORE';

/**
 * The sandbox for all code from the repository. Whoever may push decides what runs there, so it contains nothing of the server's.
 * Throws the errors of {@link openSandbox}, extended by the setting that starts without it.
 */
export async function openRepositorySandbox(
  config: BuilderConfig,
  deps: { readonly exec: Exec; readonly env: NodeJS.ProcessEnv; readonly clock: Clock; readonly logger: Logger },
): Promise<Sandbox> {
  const paths = dataPaths(config.dataDir);
  await mkdir(paths.sandbox, { recursive: true, mode: 0o700 });
  await chmod(paths.sandbox, 0o700);
  const options = { exec: deps.exec, env: deps.env, dir: paths.sandbox, readable: [paths.mirror, paths.testingMirror] };
  if (config.isRepositoryCodeUnconfined) {
    deps.logger.warn(`repository code runs with access to the keys of ${config.program}: whoever may push can read them`, {
      setting: UNSAFE_SETTING,
    });
    return await openUnsafeSandbox(options);
  }
  await warnOfOpenings(config, deps.logger);
  const secrets = [paths.keys, paths.releaseKey, paths.serverKey, paths.cacheKey, paths.adminToken, paths.database, paths.statements, paths.roots];
  try {
    const nonce = `${deps.clock.now()}`;
    return await openSandbox(options, {
      secrets: [...secrets, ...config.secretFiles],
      needed: [
        ...(config.inputAccess.some(({ ssh }) => ssh !== undefined) ? ['ssh'] : []),
        ...(config.repository.hasSubmodules ? ['git'] : []),
        ...(config.repository.skips ? ['strace', 'grep'] : []),
      ],
      programs: [process.execPath],
      nonce,
      mayBuildsChangeStore: config.mayBuildsChangeStore,
    });
  } catch (error) {
    if (!isFloeError(error) || error.code === 'PROGRAM_MISSING') throw error;
    const advice =
      error.code === 'BUILDS_CHANGE_STORE'
        ? `To let each commit decide what later ones really contain instead, set ${UNSAFE_STORE_SETTING}=yes.`
        : `To let whoever may push read all keys of ${config.program} instead, set ${UNSAFE_SETTING}=yes.`;
    throw new FloeError(error.code, `${error.message}\n${advice}`, { cause: error });
  }
}

/** Nix's default; the daemon shows it to any derivation with the builder builtin:fetchurl. */
const DAEMON_NETRC = '/etc/nix/netrc';

/** Risks that the sandbox does not cover, but the operator can (docs/operate.md). */
async function warnOfOpenings({ databaseUrl }: BuilderConfig, logger: Logger): Promise<void> {
  const hasNetrc = await stat(DAEMON_NETRC).then(
    () => true,
    () => false,
  );
  if (hasNetrc)
    logger.warn("whoever may push can read the netrc file of Nix's daemon: keep only credentials for inputs in it", { file: DAEMON_NETRC });
  if (databaseUrl !== undefined && isOpenDatabase(databaseUrl.reveal())) {
    logger.warn('the database is reached over TCP and the URL has no password: if it requires none, builds of the repository can use it, too');
  }
}

/** Whether a URL names a database on the network without a password. The folder of a unix socket is not in the sandbox. */
export function isOpenDatabase(url: string): boolean {
  const parsed = URL.parse(url);
  if (parsed === null) return false;
  const host = parsed.searchParams.get('host') ?? decodeURIComponent(parsed.hostname);
  return host !== '' && !host.startsWith('/') && parsed.password === '' && !parsed.searchParams.has('password');
}
