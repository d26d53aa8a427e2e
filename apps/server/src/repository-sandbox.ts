import { chmod, mkdir } from 'node:fs/promises';
import { openSandbox, openUnsafeSandbox, type Sandbox } from '@floe/nix';
import { exec, FloeError, isFloeError, type Clock, type Logger } from '@floe/runtime';
import { dataPaths, type Config } from './config.ts';

/** The setting that does without, by its whole name: what it gives up must be typed. */
const UNSAFE_SETTING = 'FLOE_UNSAFE_RUN_REPOSITORY_CODE_WITH_ACCESS_TO_KEYS';

/**
 * Where everything runs that the repository says. Whoever may push decides what this is, so nothing of the server's is
 * in it. Throws what {@link openSandbox} throws, with the setting that does without.
 */
export async function openRepositorySandbox(
  config: Config,
  deps: { readonly env: NodeJS.ProcessEnv; readonly clock: Clock; readonly logger: Logger },
): Promise<Sandbox> {
  const paths = dataPaths(config.dataDir);
  await mkdir(paths.sandbox, { recursive: true, mode: 0o700 });
  await chmod(paths.sandbox, 0o700);
  const options = { exec, env: deps.env, dir: paths.sandbox, readable: [paths.mirror] };
  if (config.isRepositoryCodeUnconfined) {
    deps.logger.warn("repository code runs with access to the server's keys: whoever may push can read them", { setting: UNSAFE_SETTING });
    return await openUnsafeSandbox(options);
  }
  const secrets = [paths.keys, paths.releaseKey, paths.serverKey, paths.cacheKey, paths.adminToken, paths.database, paths.statements, paths.roots];
  try {
    const nonce = `${deps.clock.now()}`;
    return await openSandbox(options, { secrets: [...secrets, ...config.secretFiles], programs: [process.execPath], nonce });
  } catch (error) {
    if (!isFloeError(error)) throw error;
    throw new FloeError(error.code, `${error.message}\nTo let whoever may push read all keys of this server instead, set ${UNSAFE_SETTING}=yes.`, {
      cause: error,
    });
  }
}
