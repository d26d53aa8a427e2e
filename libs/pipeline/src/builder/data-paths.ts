import { join } from 'node:path';

/** Paths in the data folder of a server, and of a builder of its own: that has those of the keys, the repository, the cache and the statements. */
export function dataPaths(dataDir: string) {
  return {
    database: join(dataDir, 'database'),
    mirror: join(dataDir, 'mirror.git'),
    testingMirror: join(dataDir, 'mirror-testing.git'),
    submodules: join(dataDir, 'submodules.git'),
    cache: join(dataDir, 'cache'),
    statements: join(dataDir, 'statements'),
    footprints: join(dataDir, 'footprints.json'),
    traces: join(dataDir, 'traces.json'),
    roots: join(dataDir, 'roots'),
    keys: join(dataDir, 'keys'),
    releaseKey: join(dataDir, 'keys', 'release.pem'),
    serverKey: join(dataDir, 'keys', 'server.pem'),
    cacheKey: join(dataDir, 'keys', 'cache.secret'),
    adminToken: join(dataDir, 'admin-token'),
    hostKeys: join(dataDir, 'host-keys.json'),
    usedWords: join(dataDir, 'used-words'),
    home: join(dataDir, 'home'),
    sandbox: join(dataDir, 'sandbox'),
    lock: join(dataDir, 'lock'),
    instanceId: join(dataDir, 'instance-id'),
  };
}
