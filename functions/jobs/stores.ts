/** Where the shards of jobs lie: in a bucket, or at origins that the operator has named. */
import { isShardsieveError, messageOf, ShardError, UsageError } from '../../src/errors.ts';
import type { ByteSource } from '../../src/io/bytes.ts';
import { streamBytes } from '../../src/io/web.ts';
import type { Bucket } from '../workers/bucket.ts';
import { bucketSource } from '../workers/storage.ts';

/** One version of a shard. */
export interface FoundShard {
  /** What stats call it: without what is secret in a signed URL. */
  name: string;
  size: number;
  etag: string;
  /** Its bytes as stored, from an offset on; `ShardError` `unreadable` where they are not this version's. */
  open(offset: number): ByteSource;
  /** Reading it once more costs nothing: for its hash. */
  isNear: boolean;
}

export interface ShardStore {
  /** `undefined` where there is none. Throws `UsageError` for a place that may not be read, `ShardError` `unreadable`. */
  find(key: string): Promise<FoundShard | undefined>;
}

export function isUrl(key: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(key);
}

/** @param origins `https://pool.example`; URLs are refused where there are none. */
export function shardStore(bucket: Bucket, origins: readonly string[] = []): ShardStore {
  return {
    async find(key) {
      if (isUrl(key)) return findAtOrigin(key, origins);
      const object = await bucket.head(key);
      if (object === null) return undefined;
      const { size, etag } = object;
      return { name: key, size, etag, isNear: true, open: (offset) => bucketSource(bucket, object, offset) };
    },
  };
}

/** `https://pool.example` of what a person writes, a slash at its end included. What is no origin stays as it is, and matches nothing. */
export function parseOrigins(text: string): string[] {
  return text.split(',').flatMap((part) => {
    const origin = part.trim();
    if (origin === '') return [];
    return [URL.canParse(origin) && new URL(origin).pathname === '/' ? new URL(origin).origin : origin];
  });
}

/** Throws `UsageError` for what is no URL of https at one of these origins. */
export function checkOrigin(key: string, origins: readonly string[]): URL {
  const url = URL.canParse(key) ? new URL(key) : undefined;
  if (
    url?.protocol === 'https:' &&
    origins.includes(url.origin) &&
    url.username === '' &&
    url.password === ''
  ) {
    return url;
  }
  throw new UsageError(`shards are not read from ${url?.origin ?? 'there'} here`, {
    hint: origins.length === 0 ? 'Put them into the bucket of shards' : `There is ${origins.join(', ')}`,
  });
}

const REDIRECTS = 5;
/** Milliseconds for the head of an answer, and for each chunk of its body. */
const PATIENCE_MS = 30_000;

async function findAtOrigin(key: string, origins: readonly string[]): Promise<FoundShard | undefined> {
  const { origin, pathname } = checkOrigin(key, origins);
  const name = `${origin}${pathname}`;
  const fail = (why: string): ShardError => new ShardError('unreadable', why, { url: name });
  /** Redirects are followed inside the list of origins, and nowhere else. */
  const ask = async (headers: Record<string, string>): Promise<Response> => {
    let url = checkOrigin(key, origins);
    for (let hops = 0; hops <= REDIRECTS; hops++) {
      const late = new AbortController();
      const timer = setTimeout(() => late.abort(), PATIENCE_MS);
      const asked = { ...headers, 'accept-encoding': 'identity' };
      const response = await fetch(url, { headers: asked, redirect: 'manual', signal: late.signal })
        .catch((cause: unknown) => {
          throw fail(late.signal.aborted ? `no answer in ${PATIENCE_MS / 1000} s` : messageOf(cause));
        })
        .finally(() => clearTimeout(timer));
      const location = response.headers.get('location');
      if (response.status < 300 || response.status >= 400 || location === null) return response;
      await response.body?.cancel();
      url = checkOrigin(new URL(location, url).href, origins);
    }
    throw fail(`more than ${REDIRECTS} redirects`);
  };
  // Not HEAD: a URL that is signed for GET is for nothing else.
  const head = await ask({ range: 'bytes=0-0' });
  await head.body?.cancel();
  if (head.status === 404 || head.status === 410) return undefined;
  const etag = head.headers.get('etag');
  const size = sizeOf(head);
  if (![200, 206, 416].includes(head.status)) throw fail(`the answer was ${head.status}`);
  if (etag === null || etag.startsWith('W/') || !Number.isSafeInteger(size)) {
    throw fail('the origin says no length or no strong ETag, without which a shard cannot be read in pieces');
  }
  const read = async (from: number): Promise<ReadableStream<Uint8Array>> => {
    const response = await ask(from === 0 ? {} : { range: `bytes=${from}-` });
    const { status, headers, body } = response;
    // 200 is the whole of it, whatever was asked for.
    const isRight =
      from === 0
        ? status === 200
        : status === 206 && headers.get('content-range')?.startsWith(`bytes ${from}-`);
    if (isRight && headers.get('etag') === etag && body !== null) return body;
    await body?.cancel();
    throw fail(
      isRight ? 'it was replaced while it was being read' : `the answer to a read from ${from} was ${status}`,
    );
  };
  return {
    ...{ name, size, etag, isNear: false },
    open: (offset) => ({
      name,
      identity: async () => ({ name, size, etag }),
      async *stream({ signal } = {}) {
        let left = size - offset;
        if (left <= 0) return;
        const idle = { ms: PATIENCE_MS, error: () => fail(`nothing more came for ${PATIENCE_MS / 1000} s`) };
        try {
          for await (const chunk of streamBytes(await read(offset), signal, idle)) {
            left -= chunk.length;
            yield chunk;
          }
        } catch (error) {
          if (isShardsieveError(error)) throw error;
          throw fail(`it broke off: ${messageOf(error)}`);
        }
        if (left !== 0) throw fail(`it has not the ${size} bytes that were said`);
      },
    }),
  };
}

/** Bytes of the whole, of the answer to a range; NaN where it does not say. 416: an empty one has no first byte. */
function sizeOf({ status, headers }: Response): number {
  const stated = status === 200 ? headers.get('content-length') : headers.get('content-range')?.split('/')[1];
  return /^\d+$/.test(stated ?? '') ? Number(stated) : Number.NaN;
}
