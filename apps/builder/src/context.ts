import { access, mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import {
  dataPaths,
  ensureRepository,
  lockDataFolder,
  noticeCode,
  NoticeTeller,
  openBuilder,
  openRepositorySandbox,
  openStatementLog,
  openStoreWhenReady,
  OTHER_DEFAULT,
  SANDBOX_BROKEN,
  watchSandbox,
  writePublicKeys,
} from '@floe/pipeline';
import { FloeError, runLoops, Troubles, type Clock, type Exec, type Logger } from '@floe/runtime';
import type { PlainStore } from '@floe/store';
import type { Config } from './config.ts';

/** What only the process itself can give. */
export interface System {
  readonly clock: Clock;
  readonly random: () => number;
  /** Starts all programs. */
  readonly exec: Exec;
  /** What Nix is run with. */
  readonly env: NodeJS.ProcessEnv;
  /** Holds migrations/. */
  readonly rootDir: string;
}

/** Works until `signal` aborts. */
export async function runBuilder(config: Config, logger: Logger, system: System, signal: AbortSignal): Promise<void> {
  const { clock } = system;
  const paths = dataPaths(config.dataDir);
  await mkdir(paths.keys, { recursive: true, mode: 0o700 });
  await mkdir(config.cacheDir, { recursive: true });

  await using stack = new AsyncDisposableStack();
  stack.use(await lockDataFolder(config.dataDir, paths.lock, config.program));
  const sandbox = await openRepositorySandbox(config, { ...system, clock, logger });
  const store = stack.use(await openStoreWhenReady(config, { clock, logger, migrationsDir: join(system.rootDir, 'migrations') }, signal));
  if (config.signCommand === undefined) await refuseWithoutKey(store, config.keyFiles.release ?? paths.releaseKey);
  const statements = openStatementLog(paths.statements, logger);
  const builder = await openBuilder({
    ...system,
    config,
    store,
    statements,
    sandbox,
    logger,
    apart: config,
  });
  const { releaser } = builder;
  await refuseOtherKey(store, releaser.keys[0]?.publicKey);
  const keysFile = await writePublicKeys(builder, config.dataDir);
  const repository = await ensureRepository({ store, statements, releaseKeys: releaser.keys, logger }, config.repository, clock.now());
  await builder.rebuild(repository, []);
  logger.info('works for the servers that have its public keys', { keysFile });

  const { owner } = builder;
  const teller = new NoticeTeller({ store, clock, logger, repositoryId: repository.id, owner, name: hostname() });
  const tell = (code: string, message: string | undefined): void => teller.tell(code, message && config.nameSettings(message));
  const troubles: Troubles = new Troubles({
    clock,
    logger,
    onChange: (subject) => tell(noticeCode(subject), troubles.of(subject)?.message),
  });
  const watching = {
    // Nobody looks at this process.
    fetches: { noteProgress: () => undefined, watching: <Mirror>(mirror: Mirror): Mirror => mirror },
    onOtherDefault: (notice: string | undefined) => tell(OTHER_DEFAULT, notice),
    onSilence: () => undefined,
    onBuilderNotices: () => undefined,
    cacheKeeping: {
      limits: config.cacheLimits,
      troubles,
      onTooLarge: (message: string | undefined) => tell('CACHE_TOO_LARGE', message),
    },
  };
  await runLoops(
    (running) => [
      builder.run(watching, repository.id, running),
      teller.run(running),
      watchSandbox({ sandbox, clock, onProblem: (message) => tell(SANDBOX_BROKEN, message) }, running),
      builder.answerQuestions(repository.id, running),
    ],
    signal,
  );
}

/** Before a key is made: hosts that trust another one would refuse all that the new one signs. */
async function refuseWithoutKey(store: PlainStore, path: string): Promise<void> {
  const known = await store.server.keys();
  const isThere = await access(path).then(
    () => true,
    () => false,
  );
  if (known !== undefined && !isThere) throw foreign(known.releaseKey, `${path} is missing here`);
}

async function refuseOtherKey(store: PlainStore, own: string | undefined): Promise<void> {
  const known = await store.server.keys();
  if (known !== undefined && known.releaseKey !== own) throw foreign(known.releaseKey, `this builder has ${own}`);
}

function foreign(releaseKey: string, difference: string): FloeError {
  return new FloeError(
    'BUILDER_FOREIGN',
    `the hosts of this database trust the release key ${releaseKey}, and ${difference}: put that key into keys/release.pem of the builder's data folder, or into the file of FLOE_RELEASE_KEY_FILE, or have FLOE_SIGN_COMMAND sign with it, ` +
      `or set another DATABASE_URL; to change the key see docs/operate.md, "Changing keys"`,
    { data: { releaseKey } },
  );
}
