/** Every program on the machine uses these. */
const SHARED = ['/', '/var', '/var/lib', '/var/cache', '/var/log', '/etc', '/run', '/usr', '/srv', '/opt', '/mnt'];

/** In these nobody else sees what a unit writes, or it may not write there. */
const CLOSED = ['/tmp', '/tmp/a', '/var/tmp', '/var/tmp/a', '/home', '/home/ada', '/root', '/run/user/1000', '/boot', '/boot/loader'];
const OF_THE_SYSTEM = ['/nix', '/nix/store', '/nix/var/x', '/sys/a', '/proc', '/dev/shm'];

/** Of some of them, as systemd also reads them. */
const SPELLINGS = ['//', '/.', '/./', '/tmp/', '/tmp//', '/./tmp', '/tmp/.', '//var/./lib/'];

/** Folders that a module must neither take for itself nor open to its unit. */
export const FOREIGN_FOLDERS = [...SHARED, ...CLOSED, ...OF_THE_SYSTEM, ...SPELLINGS];

/** Whatever they lead to. */
export const UPWARD_FOLDERS = ['/srv/metrics/../..', '/a/..'];

/** Folders that can be a module's own; some begin as one that cannot. */
export const OWN_FOLDERS = [
  '/var/lib/node-exporter',
  '/var/lib/a.b/c',
  '/run/metrics',
  '/metrics',
  '/var/cache/floe',
  '/srv/cache',
  '/mnt/disk/cache/',
  '/tmpfiles',
  '/var/library',
  '/nixos',
  '/homes/x',
  '/etc/metrics',
  '/a..b',
];
