/** A file into another folder without copying its bytes, where the disk allows it. */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, OutputError } from '../../src/errors.ts';

/**
 * Makes `to/name` be `from/name`: a hard link, or a copy where the two lie on different disks or links are not
 * allowed. It appears by a rename, replacing what was there. Throws `OutputError`.
 */
export async function linkFile(from: string, to: string, name: string): Promise<void> {
  const source = join(from, name);
  const temporary = join(
    to,
    `.${name.replaceAll('.', '_').slice(0, 60)}.${randomBytes(6).toString('hex')}.link`,
  );
  try {
    await mkdir(to, { recursive: true });
    await link(source, temporary).catch(() => copyFile(source, temporary, constants.COPYFILE_FICLONE));
    await rename(temporary, join(to, name));
  } catch (cause) {
    throw new OutputError(`the file cannot be linked or copied: ${messageOf(cause)}`, {
      file: join(to, name),
      cause,
    });
  } finally {
    // Renaming a link onto another of the same file does nothing, and leaves both.
    await rm(temporary, { force: true }).catch(() => {});
  }
}
