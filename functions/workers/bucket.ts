/** The part of R2's binding that Shardsieve uses, so that nothing here needs the types of a platform. */

export interface StoredObject {
  key: string;
  /** Bytes of the whole object, also where a part of it was asked for. */
  size: number;
  /** Changes with the bytes; without quotes. */
  etag: string;
  customMetadata?: Record<string, string>;
  checksums?: { sha256?: ArrayBuffer };
}

export interface StoredBody extends StoredObject {
  body: ReadableStream<Uint8Array>;
  arrayBuffer(): Promise<ArrayBuffer>;
}

export interface GetOptions {
  range?: { offset: number; length?: number };
  onlyIf?: { etagMatches: string };
}

export interface PutOptions {
  /** What the object that is there must be; headers for "none", which R2 reads as HTTP does. */
  onlyIf?: { etagMatches: string } | Headers;
  customMetadata?: Record<string, string>;
}

export interface ListOptions {
  prefix: string;
  /** Objects with it behind the prefix are left out, so that only a flat folder is listed. */
  delimiter?: string;
  cursor?: string;
  limit?: number;
  include?: 'customMetadata'[];
}

export interface Bucket {
  head(key: string): Promise<StoredObject | null>;
  /** Without a body where the condition does not hold. */
  get(key: string, options?: GetOptions): Promise<StoredBody | StoredObject | null>;
  /** `null` where the condition does not hold. */
  put(
    key: string,
    value: Uint8Array | ReadableStream<Uint8Array>,
    options?: PutOptions,
  ): Promise<StoredObject | null>;
  delete(keys: string | string[]): Promise<void>;
  list(options: ListOptions): Promise<{ objects: StoredObject[]; truncated: boolean; cursor?: string }>;
}

/** Objects that one `delete` takes. */
const DELETE_BATCH = 1000;

/** The condition that there is no object of that name. */
export function absent(): Headers {
  return new Headers({ 'if-none-match': '*' });
}

/** The body of an object that was read under a condition, if it held. */
export function bodyOf(object: StoredBody | StoredObject | null): StoredBody | undefined {
  return object !== null && 'arrayBuffer' in object ? object : undefined;
}

/** All objects behind a prefix, page after page, sorted by key. */
export async function* listAll(
  bucket: Bucket,
  options: Omit<ListOptions, 'cursor'>,
): AsyncGenerator<StoredObject, void, undefined> {
  let cursor: string | undefined;
  do {
    const page = await bucket.list({ ...options, ...(cursor === undefined ? {} : { cursor }) });
    yield* page.objects;
    cursor = page.truncated ? page.cursor : undefined;
  } while (cursor !== undefined);
}

export async function deleteAll(bucket: Bucket, prefix: string): Promise<void> {
  let keys: string[] = [];
  for await (const { key } of listAll(bucket, { prefix })) {
    keys.push(key);
    if (keys.length < DELETE_BATCH) continue;
    await bucket.delete(keys);
    keys = [];
  }
  if (keys.length > 0) await bucket.delete(keys);
}
