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

/** A service binding. */
export interface Service {
  fetch(request: Request): Promise<Response>;
}
