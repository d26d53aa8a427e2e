import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { loadOrCreateCacheKey } from '@floe/nix';
import { eventually, exampleFleetFiles, ISOLATED_GIT_ENV, TestFleet, testNixSettings } from '@floe/testkit';
import { median, run, timed, type Figure, type Progress } from './measure.ts';

const HOSTS = ['ada', 'bob', 'cyd'] as const;

/**
 * A push that changes all three hosts, from the webhook's arrival until each machine runs and boots the new system; compared with
 * the sum of the bare commands that do the same work for another push.
 */
export async function benchPush(rounds: number, progress: Progress): Promise<Figure[]> {
  await using fleet = await TestFleet.create({
    files: await exampleFleetFiles(),
    nixConfig: testNixSettings,
    serverEnv: { FLOE_LOG_LEVEL: 'info' },
    // Longer than the benchmark: only a webhook triggers the server.
    pollSeconds: 3_600,
  });
  await fleet.startServer();
  for (const host of HOSTS) await fleet.addMachine(host, { FLOE_LOG_LEVEL: 'info' });
  await fleet.settled(await fleet.git('-C', fleet.workTree, 'rev-parse', 'HEAD'));
  await using bare = await BareCommands.create(fleet);

  const [floe, floor]: [number[], number[]] = [[], []];
  const stages = new Map<string, number[]>();
  for (let round = 0; round < rounds; round += 1) {
    progress(`push → switched, round ${round + 1} of ${rounds}`);
    floe.push(await floePush(fleet, `floe ${round}`));
    const steps = await bare.push(`bare ${round}`);
    floor.push(Object.values(steps).reduce((sum, ms) => sum + ms, 0));
    for (const [step, ms] of Object.entries(steps)) stages.set(step, [...(stages.get(step) ?? []), ms]);
  }
  progress(`bare commands: ${[...stages].map(([step, values]) => `${step} ${Math.round(median(values))} ms`).join(', ')}`);
  return [{ what: '(a) push → 3 hosts switched', unit: 'ms', floe: median(floe), floor: median(floor), compare: 'ratio', aim: 1.5 }];
}

async function changeAll(fleet: TestFleet, text: string): Promise<string> {
  const module = await readFile(join(fleet.workTree, 'modules/base.nix'), 'utf8');
  const changed = module.replace(/environment\.etc\."issue" = ".*";/, `environment.etc."issue" = "${text} in ${fleet.dir}";`);
  return await fleet.push(text, { 'modules/base.nix': changed });
}

async function floePush(fleet: TestFleet, text: string): Promise<number> {
  const sha = await changeAll(fleet, text);
  const switchedAt = await eventually(
    'all hosts are switched',
    async () => {
      const revision = await fleet.revision(sha);
      if (revision?.state !== 'PUBLISHED') return undefined;
      const observed = await Promise.all(HOSTS.map(async (host) => (await fleet.machine(host).observe()).profile));
      return observed.every((profile, index) => profile === revision.hosts.find(({ host }) => host === HOSTS[index])?.toplevel)
        ? Date.now()
        : undefined;
    },
    { everyMs: 10 },
  );
  const revision = await fleet.settled(sha);
  return switchedAt - revision.receivedAt;
}

interface CacheServer extends AsyncDisposable {
  readonly url: string;
}

/** A minimal HTTP server for a binary cache. */
async function serveCache(dir: string): Promise<CacheServer> {
  const server = createServer((request, response) => {
    const file = createReadStream(join(dir, request.url ?? '/'));
    file.on('error', () => response.writeHead(404).end());
    file.pipe(response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

/** Native git and Nix, with their own stores and mirrors, as parallel as Floe. */
class BareCommands implements AsyncDisposable {
  readonly #fleet: TestFleet;
  readonly #dir: string;
  readonly #publicKey: string;
  readonly #cache: CacheServer;
  readonly #env: NodeJS.ProcessEnv;

  private constructor(fleet: TestFleet, dir: string, publicKey: string, cache: CacheServer) {
    this.#fleet = fleet;
    this.#dir = dir;
    this.#publicKey = publicKey;
    this.#cache = cache;
    this.#env = { PATH: process.env['PATH'], HOME: join(dir, 'home'), NIX_CONFIG: `${testNixSettings}\neval-cache = false`, ...ISOLATED_GIT_ENV };
  }

  static async create(fleet: TestFleet): Promise<BareCommands> {
    const dir = join(fleet.dir, 'bare');
    for (const folder of ['home', 'roots']) await mkdir(join(dir, folder), { recursive: true });
    const { publicKey } = await loadOrCreateCacheKey(join(dir, 'secret'), 'bare-1');
    const bare = new BareCommands(fleet, dir, publicKey, await serveCache(join(dir, 'cache')));
    await run('git', ['clone', '-q', '--bare', fleet.forge.pushUrl, bare.#mirror], { env: bare.#env });
    await bare.push('warm-up');
    return bare;
  }

  get #mirror(): string {
    return join(this.#dir, 'mirror.git');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cache[Symbol.asyncDispose]();
  }

  /** How long each step took, in ms. */
  async push(text: string): Promise<Record<string, number>> {
    // The server must stay idle: it learns of this commit with Floe's next push.
    const lookedAt = await this.#lastLookOfServer();
    const sha = await this.#fleet.forge.silently(async () => await changeAll(this.#fleet, text));
    const env = this.#env;
    const flake = `git+file://${this.#mirror}?ref=main&rev=${sha}`;
    const target = `file://${this.#dir}/cache?compression=zstd&secret-key=${this.#dir}/secret`;
    const substituters = ['--option', 'substituters', this.#cache.url, '--option', 'trusted-public-keys', this.#publicKey];
    let systems: readonly { readonly host: string; readonly drv: string; readonly out: string }[] = [];
    const storeOf = (host: string): string => join(this.#dir, `machine-${host}`);

    const fetch = await timed(async () => await run('git', ['-C', this.#mirror, 'fetch', '-q', this.#fleet.forge.pushUrl, '+main:main'], { env }));
    const evaluate = await timed(async () => {
      systems = await inParallel(HOSTS, async (host) => {
        const toplevel = `${flake}#nixosConfigurations.${host}.config.system.build.toplevel`;
        const { stdout } = await run('nix', ['eval', '--json', toplevel, '--apply', 't: { drv = t.drvPath; out = "" + t; }'], { env });
        return { host, ...(JSON.parse(stdout) as { drv: string; out: string }) };
      });
    });
    const build = await timed(
      async () =>
        await inParallel(
          systems,
          async ({ host, drv }) => await run('nix-store', ['--realise', drv, '--add-root', join(this.#dir, 'roots', host), '--indirect'], { env }),
        ),
    );
    const copy = await timed(async () => await run('nix', ['copy', '--to', target, ...systems.map(({ out }) => out)], { env }));
    const onMachines = async (work: (store: string, out: string) => Promise<unknown>): Promise<number> =>
      await timed(async () => await Promise.all(systems.map(async ({ host, out }) => await work(storeOf(host), out))));
    // Each machine has its own cache database of Nix, which several processes must not create at the same time.
    const realise = await onMachines(
      async (store, out) =>
        await run('nix-store', ['--store', `local?root=${store}`, '--realise', out, '--add-root', `${store}/root`, '--indirect', ...substituters], {
          env: { ...env, HOME: join(store, 'home') },
        }),
    );
    const profile = await onMachines(
      async (store, out) =>
        await run('nix-env', ['--store', `local?root=${store}`, '--profile', `${store}/nix/var/nix/profiles/system`, '--set', out], { env }),
    );
    const activate = await onMachines(async (store, out) => {
      for (const action of ['test', 'boot'])
        await run(`${store}${out}/bin/switch-to-configuration`, [action], { env: { ...env, NIXOS_ROOT: store } });
    });
    if ((await this.#lastLookOfServer()) !== lookedAt) throw new Error('the server was busy meanwhile, which would falsify the comparison');
    return { fetch, evaluate, build, copy, realise, profile, switch: activate };
  }

  async #lastLookOfServer(): Promise<number | null> {
    return (await this.#fleet.fleetView()).repository.lastFetchAt;
  }
}

async function inParallel<Item, Result>(items: readonly Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = [];
  const queue = items.map((item, index) => ({ item, index }));
  const worker = async (): Promise<void> => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) results[next.index] = await work(next.item);
  };
  await Promise.all(Array.from({ length: Math.min(cpus().length, items.length) }, worker));
  return results;
}
