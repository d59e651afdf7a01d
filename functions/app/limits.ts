/** What a request may ask for. Each bound is told in the OpenAPI document and in `docs/api.md`. */

export interface Limits {
  /** Bytes of a request's body, counted as they arrive. The tar of `/v1/shards` is not a body in this sense. */
  bodyBytes: number;
  /** Bytes of one picture. */
  imageBytes: number;
  /** Pixels of one picture, seen in its header before it is decoded. */
  imagePixels: number;
  /**
   * Pixels decoded at any time: over all requests with pictures in them, and again in each shard of `/v1/shards`. RGB takes
   * 3 bytes of each. A larger picture waits and runs alone.
   */
  decodedPixels: number;
  /** UTF-16 units of one caption, label or template. */
  captionChars: number;
  /** UTF-16 units of all captions of one request: a worst case takes a microsecond each to tokenize. */
  textChars: number;
  /** Pictures of one request. */
  images: number;
  /** Captions of one request, over all its pictures: the pairs that are scored. */
  pairs: number;
  /** Prompts of one request of `/v1/classify`: labels times templates. */
  prompts: number;
  /** Shards of `/v1/shards` read at one time; more are answered 503. */
  shardStreams: number;
  /** Bytes of a shard's samples read and not yet decoded, each shard. */
  shardBytes: number;
  /** Milliseconds until a body has arrived; of a shard, until some more of it has, and until more of its lines are read. */
  bodyMs: number;
  /** Milliseconds from the arrived body to the answer. */
  requestMs: number;
}

/**
 * For a machine with gigabytes. `captionChars` and the kinds of pictures are those of `shardsieve score`, so that what
 * it scores the API scores too; but for pictures of more than 40 MP, which take 120 MB each.
 */
export const DEFAULT_LIMITS: Limits = {
  bodyBytes: 32 * 2 ** 20,
  imageBytes: 16 * 2 ** 20,
  imagePixels: 40_000_000,
  decodedPixels: 64_000_000,
  captionChars: 2 ** 16,
  textChars: 2 ** 19,
  images: 64,
  pairs: 256,
  prompts: 1024,
  shardStreams: 4,
  shardBytes: 64 * 2 ** 20,
  bodyMs: 30_000,
  requestMs: 30_000,
};

/** For an isolate of 128 MB: the front decodes one larger picture at a time. */
export const EDGE_LIMITS: Limits = {
  ...DEFAULT_LIMITS,
  bodyBytes: 8 * 2 ** 20,
  imageBytes: 4 * 2 ** 20,
  imagePixels: 8_000_000,
  decodedPixels: 8_000_000,
  captionChars: 2 ** 13,
  textChars: 2 ** 16,
  images: 16,
  pairs: 64,
  prompts: 128,
  shardStreams: 1,
  shardBytes: 8 * 2 ** 20,
};
