import type { Folder } from './bytes.ts';

/** Bytes read at a time. */
const CHUNK = 1 << 22;

/** Copies a file from one folder to another, replacing what is there; it appears whole or not at all. */
export async function copyFile(from: Folder, name: string, to: Folder, as = name): Promise<void> {
  const file = await from.open(name);
  const sink = await to.create(as);
  try {
    for (let at = 0; at < file.size; at += CHUNK) {
      await sink.write(await file.slice(at, Math.min(at + CHUNK, file.size)));
    }
    await sink.commit();
  } catch (error) {
    await sink.abort();
    throw error;
  }
}

export type CopyFile = typeof copyFile;
