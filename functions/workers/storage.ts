/** R2 behind the engine's interfaces: an object as a source, the objects of a prefix as a folder. */
import { isShardsieveError, MetadataError, messageOf, OutputError, ShardError } from '../../src/errors.ts';
import type { ByteSource, Folder, Sink } from '../../src/io/bytes.ts';
import { streamBytes } from '../../src/io/web.ts';
import { absent, type Bucket, bodyOf, listAll, type PutOptions, type StoredObject } from './bucket.ts';

/**
 * One version of an object, read from an offset on. Throws `ShardError` `unreadable` where the object is another by now,
 * or where R2 gives fewer bytes than it says the object has: that is no shard that ends early.
 */
export function bucketSource(bucket: Bucket, object: StoredObject, from = 0): ByteSource {
  const { key, size, etag } = object;
  const open = async (offset: number, length: number) => {
    try {
      const found = await bucket.get(key, { range: { offset, length }, onlyIf: { etagMatches: etag } });
      const body = bodyOf(found);
      if (body !== undefined) return body;
    } catch (cause) {
      throw new ShardError('unreadable', `R2 does not give it: ${messageOf(cause)}`, { file: key, cause });
    }
    throw new ShardError('unreadable', 'it was replaced or removed while it was being read', { file: key });
  };
  return {
    name: key,
    identity: async () => ({ name: key, size, etag }),
    async *stream({ signal } = {}) {
      let left = size - from;
      // R2 refuses a range that begins at the end.
      if (left <= 0) return;
      const { body } = await open(from, left);
      for await (const chunk of streamBytes(body, signal)) {
        left -= chunk.length;
        yield chunk;
      }
      if (left > 0) throw new ShardError('unreadable', `R2 left out the last ${left} bytes`, { file: key });
    },
    async slice(start, end) {
      if (end <= start) return new Uint8Array(0);
      const bytes = new Uint8Array(await (await open(start, end - start)).arrayBuffer());
      if (bytes.length === end - start) return bytes;
      throw new ShardError('unreadable', `R2 gave ${bytes.length} bytes for ${end - start}`, { file: key });
    },
  };
}

export interface BucketFolderOptions {
  /** Asked before every change; throws where this writer may not write any more. */
  mayWrite?(name: string): Promise<void>;
  /** Kept beside an object that is written in one go, to be had by listing. */
  describe?(name: string, bytes: Uint8Array): Record<string, string> | undefined;
}

/**
 * The objects of a prefix (`metadata/pool/`), those under further slashes left out. A file is put whole, and only if
 * what was there when it was begun is still there: of two writers of one file the slower fails with `OutputError`, and
 * never replaces what it has not seen. What is written is held in memory until `commit`.
 */
export function bucketFolder(bucket: Bucket, prefix: string, options: BucketFolderOptions = {}): Folder {
  const { mayWrite = async () => {}, describe = () => undefined } = options;
  const label = `r2:${prefix.replace(/\/$/, '')}`;
  return {
    label,
    async list() {
      const names: string[] = [];
      for await (const { key } of listAll(bucket, { prefix, delimiter: '/' }))
        names.push(key.slice(prefix.length));
      return names.filter((name) => name !== '').sort();
    },
    has: async (name) => (await bucket.head(prefix + name)) !== null,
    async read(name) {
      const body = bodyOf(await bucket.get(prefix + name));
      return body === undefined ? undefined : new Uint8Array(await body.arrayBuffer());
    },
    async open(name) {
      const object = await bucket.head(prefix + name);
      if (object === null) throw new MetadataError('there is no such file', { file: `${label}/${name}` });
      const source = bucketSource(bucket, object);
      return { size: object.size, slice: (start, end) => source.slice!(start, end) };
    },
    async create(name) {
      const before = await bucket.head(prefix + name);
      return new ObjectSink(`${label}/${name}`, async (chunks) => {
        await mayWrite(name);
        const customMetadata = chunks.length === 1 ? describe(name, chunks[0]) : undefined;
        const onlyIf = before === null ? absent() : { etagMatches: before.etag };
        return putChunks(bucket, prefix + name, chunks, {
          onlyIf,
          ...(customMetadata ? { customMetadata } : {}),
        });
      });
    },
    async remove(name) {
      await mayWrite(name);
      await bucket.delete(prefix + name);
    },
  };
}

class ObjectSink implements Sink {
  readonly name: string;
  readonly #put: (chunks: Uint8Array[]) => Promise<StoredObject | null>;
  #chunks: Uint8Array[] | undefined = [];

  constructor(name: string, put: (chunks: Uint8Array[]) => Promise<StoredObject | null>) {
    this.name = name;
    this.#put = put;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#chunks === undefined) throw new OutputError('written to after its end', { file: this.name });
    this.#chunks.push(bytes.slice());
  }

  async commit(): Promise<void> {
    const chunks = this.#chunks ?? [];
    this.#chunks = undefined;
    let put: StoredObject | null;
    try {
      put = await this.#put(chunks);
    } catch (cause) {
      if (isShardsieveError(cause)) throw cause;
      throw new OutputError(`R2 does not take it: ${messageOf(cause)}`, { file: this.name, cause });
    }
    if (put === null) {
      throw new OutputError('another writer was quicker', {
        file: this.name,
        hint: 'Let one job at a time write to a folder',
      });
    }
  }

  async abort(): Promise<void> {
    this.#chunks = undefined;
  }
}

/** Workers' stream of a length that is known, without which R2 takes none. */
type FixedLength = new (
  length: number,
) => { readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> };

/** Chunk after chunk where the platform can, so that what is held is held once; `chunks` is emptied on the way. */
async function putChunks(
  bucket: Bucket,
  key: string,
  chunks: Uint8Array[],
  options: PutOptions,
): Promise<StoredObject | null> {
  const length = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  const { FixedLengthStream } = globalThis as { FixedLengthStream?: FixedLength };
  if (chunks.length === 1 || FixedLengthStream === undefined)
    return bucket.put(key, joined(chunks, length), options);
  const { readable, writable } = new FixedLengthStream(length);
  const writer = writable.getWriter();
  const feed = async (): Promise<void> => {
    for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) await writer.write(chunk);
    await writer.close();
  };
  // Where R2 does not want it, it does not read it either.
  const feeding = feed().catch(() => undefined);
  const put = await bucket.put(key, readable, options);
  if (put === null) await writer.abort().catch(() => undefined);
  await feeding;
  return put;
}

function joined(chunks: Uint8Array[], length: number): Uint8Array {
  if (chunks.length === 1) return chunks[0];
  const whole = new Uint8Array(length);
  let at = 0;
  for (let chunk = chunks.shift(); chunk !== undefined; chunk = chunks.shift()) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
