import { link, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Folder } from '../../src/io/bytes.ts';
import { type CopyFile, copyFile } from '../../src/io/copy.ts';
import { temporaryName } from './folder.ts';

/**
 * Copies a file between two directories by giving it a second name, where one disk holds both; else its bytes. No
 * file of Shardsieve's is ever changed in place, so what is written later to either folder leaves the other alone.
 */
export const linkOrCopy: CopyFile = async (from: Folder, name: string, to: Folder, as = name) => {
  const [source, target] = [join(from.label, name), join(to.label, as)];
  const temporary = join(to.label, temporaryName(as));
  try {
    await link(source, temporary);
    // Renaming one name of a file to another of its names does nothing and says so to nobody.
    await rename(temporary, target);
    if ((await stat(source)).ino === (await stat(target)).ino) return;
  } catch {
    // Another disk, or one that knows no links.
  } finally {
    await rm(temporary, { force: true });
  }
  await copyFile(from, name, to, as);
};
