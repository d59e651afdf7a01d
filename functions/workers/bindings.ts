/** What is used of Cloudflare's own objects, so that nothing here needs their types. */

export interface R2Object {
  /** Bytes. */
  readonly size: number;
  readonly body: ReadableStream<Uint8Array>;
  text(): Promise<string>;
}

export interface R2Reader {
  get(key: string): Promise<R2Object | null>;
}

/** A service, or a folder of assets. */
export interface Fetcher {
  fetch(request: Request): Promise<Response>;
}

/** Counted by Cloudflare where the request arrives, over all isolates there. */
export interface RateLimitBinding {
  limit(options: { key: string }): Promise<{ success: boolean }>;
}
