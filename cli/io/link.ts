/** A file into another folder without copying its bytes, where the disk allows it. */
import { constants } from 'node:fs';
import { copyFile, link, mkdir, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, OutputError } from '../../src/errors.ts';
import type { CopyFile } from '../../src/io/copy.ts';
import { temporaryName } from './folder.ts';

/**
 * Makes `to/as` be `from/name`: a hard link, or a copy where the two lie on different disks or links are not
 * allowed. It appears by a rename, replacing what was there. No file of Shardsieve's is ever changed in place, so
 * what is written later to either folder leaves the other alone. Throws `OutputError`.
 */
export async function linkFile(from: string, to: string, name: string, as = name): Promise<void> {
  const source = join(from, name);
  const temporary = join(to, temporaryName(as));
  try {
    await mkdir(to, { recursive: true });
    await link(source, temporary).catch(() => copyWhole(source, temporary));
    await rename(temporary, join(to, as));
  } catch (cause) {
    throw new OutputError(`the file cannot be linked or copied: ${messageOf(cause)}`, {
      file: join(to, as),
      cause,
    });
  } finally {
    // Renaming a link onto another of the same file does nothing, and leaves both.
    await rm(temporary, { force: true }).catch(() => {});
  }
}

/** `linkFile` between two directories that are opened as folders. */
export const linkOrCopy: CopyFile = (from, name, to, as = name) => linkFile(from.label, to.label, name, as);

async function copyWhole(source: string, target: string): Promise<void> {
  await copyFile(source, target, constants.COPYFILE_FICLONE);
  const handle = await open(target, 'r+');
  await handle.sync().finally(() => handle.close());
}
