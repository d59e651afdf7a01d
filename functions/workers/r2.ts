/** Exported towers as they lie in R2: `<prefix>/manifest.json` and the files that it names. */
import {
  type ExportedFile,
  type ExportManifest,
  MANIFEST_FILE,
  parseManifest,
} from '../../src/clip/export/manifest.ts';
import { ModelError } from '../../src/errors.ts';
import type { R2Object, R2Reader } from './bindings.ts';
import type { Pour } from './runtime.ts';

/** Bytes read at a time, into one buffer: what comes in chunks of its own is garbage twice the size. */
const CHUNK = 2 ** 20;

export async function readManifest(bucket: R2Reader, prefix: string): Promise<ExportManifest> {
  const key = `${prefix}/${MANIFEST_FILE}`;
  return parseManifest(await (await get(bucket, key)).text(), key);
}

/** `undefined` where there is none. */
export async function findManifest(bucket: R2Reader, prefix: string): Promise<ExportManifest | undefined> {
  const key = `${prefix}/${MANIFEST_FILE}`;
  const object = await bucket.get(key);
  return object === null ? undefined : parseManifest(await object.text(), key);
}

/** Throws `ModelError` where the object is missing, or is not as long as the manifest says. */
export function opener(bucket: R2Reader, prefix: string): (file: ExportedFile) => Promise<Pour> {
  return async ({ name, bytes }) => {
    const key = `${prefix}/${name}`;
    const { size, body } = await get(bucket, key);
    if (size !== bytes) {
      throw new ModelError(`the file has ${size} bytes, the manifest says ${bytes}`, {
        file: key,
        hint: 'Upload the exported folder again',
      });
    }
    return async (write) => {
      const reader = body.getReader({ mode: 'byob' });
      let buffer = new ArrayBuffer(CHUNK);
      for (;;) {
        const { done, value } = await reader.read(new Uint8Array(buffer));
        if (value !== undefined) write(value);
        if (done) return;
        buffer = value.buffer;
      }
    };
  };
}

async function get(bucket: R2Reader, key: string): Promise<R2Object> {
  const object = await bucket.get(key);
  if (object === null) {
    throw new ModelError('the bucket has no such object', {
      file: key,
      hint: 'Upload what `shardsieve models export` wrote, or set MODEL to where it lies',
    });
  }
  return object;
}
