/** A file of keys that may change while the server runs: a key is revoked by editing it. */
import { readFile, stat } from 'node:fs/promises';
import { type KeyRecord, type KeyStore, keyStore, parseKeys } from '../../functions/app/keys.ts';
import { messageOf, UsageError } from '../../src/errors.ts';

/** Milliseconds for which the file is not looked at again. */
const FRESH_MS = 1000;

/**
 * Reads the keys now, and again when the file's time or size changed. Throws `UsageError`. A change that cannot be read is
 * told to `onProblem`, and the keys from before stay: a typing error locks nobody out, and lets nobody in.
 */
export async function keyFile(path: string, onProblem: (error: unknown) => void): Promise<KeyStore> {
  let records: readonly KeyRecord[] = [];
  let version = '';
  let looked = 0;
  const versionNow = async () => {
    const { mtimeMs, size } = await stat(path);
    return `${mtimeMs} ${size}`;
  };
  const read = async () => {
    const now = await versionNow();
    if (now === version) return;
    records = parseKeys(await readFile(path, 'utf8'), path);
    version = now;
  };
  try {
    await read();
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError(`the keys cannot be read: ${messageOf(error)}`, {
      file: path,
      cause: error,
      hint: 'Make one by: shardsieve keys new NAME',
    });
  }
  looked = performance.now();
  return keyStore(async () => {
    if (performance.now() - looked > FRESH_MS) {
      looked = performance.now();
      await read().catch(onProblem);
    }
    return records;
  });
}
