import type { GuestFile, LabSuite } from '@floe/testkit';

/** What a test sets of a machine: see fleet/lib.nix. */
export interface LabHost {
  readonly units?: Readonly<Record<string, string>>;
  readonly health?: readonly object[];
  readonly policy?: object;
  /** Systems may be tried on it. */
  readonly trials?: boolean;
  /** Its name before it was renamed. */
  readonly formerHost?: string;
  readonly etc?: Readonly<Record<string, string>>;
  readonly kernel?: string;
  readonly specialisations?: Readonly<Record<string, LabHost>>;
  readonly agent?: 'works' | 'broken';
  readonly ballast?: number;
  /** Settings of the agent beside what it needs. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** A host, and the machine that is it. */
export interface LabMachine extends LabHost {
  readonly suite?: LabSuite;
  /** The size of its store's disk; default: as large as this machine's. */
  readonly storeMegabytes?: number;
  /** Files of the machine that are not of its systems: path → content. */
  readonly files?: Readonly<Record<string, GuestFile>>;
}

export const service = (command: string, more = ''): string => `[Service]\n${more}ExecStart=${command}\n[Install]\nWantedBy=multi-user.target\n`;
export const oneshot = (command: string, more = ''): string => service(command, `Type=oneshot\nRemainAfterExit=yes\n${more}`);

let count = 0;
/** Another system each time it is asked, whose switch restarts something. */
export function another(host: LabHost = {}): LabHost {
  count += 1;
  return { ...host, units: { 'counter.service': service('/bin/sleep infinity', `Environment=COUNT=${count}\n`), ...host.units } };
}

let kernels = 1;
/** The kernel of the newest system that was made by {@link newKernel}. */
export const newestKernel = (): string => `6.12.${kernels}`;
/** Another system each time it is asked, with a kernel that only a restart brings. */
export function newKernel(host: LabHost = {}): LabHost {
  kernels += 1;
  return { ...host, kernel: newestKernel() };
}

const UNTIL_GO_ON = 'touch /var/lib/lab/at-health; while [ -e /var/lib/lab/pause-health ]; do sleep 0.02; done';
/** A health check that stops at the point `health`, as switches stop at theirs, and then passes or fails. `timeoutSeconds`: 600 at most. */
export function pausedCheck(then: 'passes' | 'fails', timeoutSeconds = 60): object {
  return { name: 'slow', command: ['/bin/sh', '-c', then === 'passes' ? UNTIL_GO_ON : `${UNTIL_GO_ON}; exit 1`], timeoutSeconds };
}
