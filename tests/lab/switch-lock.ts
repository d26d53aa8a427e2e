import type { LabGuest } from '@floe/testkit';

/** What NixOS's switches lock. */
const FILE = '/run/nixos/switch-to-configuration.lock';

/** Another switch seems to be under way. */
export async function holdSwitchLock(guest: LabGuest): Promise<void> {
  await guest.sh(`mkdir -p /run/nixos; systemd-run --quiet --collect --unit=by-hand flock ${FILE} /bin/sleep infinity`);
}

export async function freeSwitchLock(guest: LabGuest): Promise<void> {
  await guest.sh('systemctl stop by-hand.service');
}

/** A user without root holds the lock in turn with themselves, by a file as NixOS makes it where the agent's module is not there yet. */
export async function meddleWithSwitchLock(guest: LabGuest): Promise<void> {
  // A unit finds no programs by itself.
  const loop = `PATH=/usr/bin:/bin; exec 9<${FILE}; while :; do flock 9; sleep 0.1; flock --unlock 9; done`;
  const start = [1, 2, 3].map((n) => `systemd-run --quiet --collect --unit=meddler-${n} --property=User=nobody /bin/sh -c '${loop}'`).join('; ');
  await guest.sh(`mkdir -p /run/nixos; rm -f ${FILE}; install -m 644 /dev/null ${FILE}; ${start}`);
  await guest.sh(`while flock --nonblock ${FILE} true; do sleep 0.1; done`);
}

export async function stopMeddling(guest: LabGuest): Promise<void> {
  await guest.sh("systemctl stop 'meddler-*.service'");
}
