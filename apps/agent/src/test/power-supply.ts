import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A power supply below `root` as the kernel shows it: a folder elsewhere that the class links to. */
export async function addPowerSupply(root: string, name: string, files: Readonly<Record<string, string>>): Promise<void> {
  const device = join(root, 'sys/devices', name);
  await mkdir(device, { recursive: true });
  await mkdir(join(root, 'sys/class/power_supply'), { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(device, file), `${text}\n`);
  await symlink(`../../devices/${name}`, join(root, 'sys/class/power_supply', name));
}
