import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eventually, type LabGuest } from '@floe/testkit';

/** Pictures of screens, to be looked at. */
const PICTURES = join(import.meta.dirname, '../../.tools/lab-pictures');
const SESSION = 'desktop-session';
/** In the session of the user: as what a desktop starts, below the user's own systemd. */
const IN_SESSION = 'setpriv --reuid=ada --regid=ada --init-groups env HOME=/home/ada XDG_RUNTIME_DIR=/run/user/1000';
const OF_SESSION = 'DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus DISPLAY=:7';

const DUNSTRC = `[global]
dmenu = /usr/local/bin/lab-choose
mouse_left_click = do_action
width = 600
height = (0, 200)
origin = top-right
offset = (20, 20)
font = DejaVu Sans 12
[all]
script = /usr/local/bin/lab-shown
`;

/** A user, ada, at the screen of a guest of the suite `desktop`: a real session of logind, with an X server. */
export class Desktop {
  readonly #guest: LabGuest;

  constructor(guest: LabGuest) {
    this.#guest = guest;
  }

  /** As a login manager does it. */
  async login(): Promise<void> {
    const session = 'XDG_SESSION_TYPE=x11 XDG_SESSION_CLASS=user XDG_SEAT=seat0 XDG_SESSION_DESKTOP=lab';
    await this.#guest.sh(
      `systemd-run --quiet --collect --unit=${SESSION} --property=PAMName=lab-desktop --property=User=ada --property=Environment="${session}" /usr/bin/Xvfb :7 -screen 0 900x300x24 -nolisten tcp`,
    );
    await eventually('ada is logged in', async () => {
      const ready = await this.#guest.run('/bin/sh', '-c', 'loginctl list-sessions --no-legend | grep -q "ada *seat0" && [ -S /run/user/1000/bus ]');
      return ready.exitCode === 0 ? true : undefined;
    });
  }

  async logout(): Promise<void> {
    await this.#guest.sh(`systemctl stop ${SESSION}`);
  }

  /** Runs a program as the user does; gives what it prints. */
  async run(command: string): Promise<string> {
    return await this.#guest.sh(`${IN_SESSION} ${OF_SESSION} ${command}`);
  }

  /** Starts a program that stays, by a name. */
  async start(name: string, command: string): Promise<void> {
    await this.run(`systemd-run --user --quiet --collect --unit=lab-${name} --setenv=DISPLAY=:7 ${command}`);
  }

  async stop(name: string): Promise<void> {
    await this.run(`systemctl --user stop lab-${name}`);
  }

  /** Nobody touches it any more, and the screen is locked. */
  async lock(): Promise<void> {
    await this.run(`busctl call org.freedesktop.login1 ${await this.#path()} org.freedesktop.login1.Session SetLockedHint b true`);
  }

  async #path(): Promise<string> {
    const id = await this.#guest.sh("loginctl list-sessions --no-legend | awk '/ada *seat0/ { print $1 }'");
    const answer = await this.#guest.sh(
      `busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager GetSession s ${id}`,
    );
    return answer.split('"')[1] ?? '';
  }

  /** A notification daemon that only {@link startDaemon} starts, and that writes down what it shows. */
  async prepareDaemon(): Promise<void> {
    await this.run('mkdir -p /home/ada/.config/dunst');
    const files = {
      '/home/ada/.config/dunst/dunstrc': DUNSTRC,
      // The context menu: it takes what /home/ada/choice says.
      '/usr/local/bin/lab-choose': '#!/bin/sh\ngrep -m 1 -F "$(cat /home/ada/choice)"\n',
      '/usr/local/bin/lab-shown': '#!/bin/sh\nprintf "%s|%s\\n" "$DUNST_SUMMARY" "$DUNST_BODY" >>/home/ada/shown\n',
    };
    for (const [path, text] of Object.entries(files)) await writeFile(this.#guest.path(path), text, { mode: 0o755 });
    await this.run('systemctl --user --runtime mask dunst.service');
  }

  async startDaemon(): Promise<void> {
    await this.start('dunst', '--setenv=PATH=/usr/local/bin:/usr/bin:/bin /usr/bin/dunst');
  }

  async stopDaemon(): Promise<void> {
    await this.stop('dunst');
  }

  /** What was shown, oldest first: TITLE|BODY. */
  async shown(): Promise<string[]> {
    const text = await readFile(this.#guest.path('/home/ada/shown'), 'utf8').catch(() => '');
    return text.split('\n').filter((line) => line !== '');
  }

  async forgetShown(): Promise<void> {
    await rm(this.#guest.path('/home/ada/shown'), { force: true });
  }

  /** Chooses an action of the notice by what its button says. */
  async choose(button: string): Promise<void> {
    await writeFile(this.#guest.path('/home/ada/choice'), `#${button}`);
    await this.run('dunstctl context');
  }

  /** Clicks on the notice. */
  async click(): Promise<void> {
    await this.run('xdotool mousemove 650 50 click 1');
  }

  /** Takes a picture of the screen. */
  async picture(name: string): Promise<void> {
    await mkdir(PICTURES, { recursive: true });
    await this.run('maim /home/ada/screen.png');
    await copyFile(this.#guest.path('/home/ada/screen.png'), join(PICTURES, `${name}.png`));
  }
}
