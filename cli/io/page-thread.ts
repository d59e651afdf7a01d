/** A thread that reads and decompresses pages, seen from the main one. */
import { Worker } from 'node:worker_threads';
import { CancelledError } from '../../src/errors.ts';
import type { Page } from '../../src/metadata/parquet-pages.ts';
import type { PageRequest } from '../../src/select/page-scan.ts';
import type { Request, Response } from './page-worker.ts';

// The compiled package holds .js, the repository .ts.
const WORKER = new URL(
  import.meta.url.endsWith('.ts') ? './page-worker.ts' : './page-worker.js',
  import.meta.url,
);

export class PageThread {
  readonly #worker = new Worker(WORKER, { execArgv: [] });
  /** It answers in the order in which it was asked. */
  readonly #pending: { resolve(pages: Page[][]): void; reject(error: Error): void }[] = [];
  #ended: Error | undefined;

  constructor() {
    this.#worker.on('message', (response: Response) => {
      const pending = this.#pending.shift();
      if (this.#pending.length === 0) this.#worker.unref();
      if ('pages' in response) pending?.resolve(response.pages);
      else pending?.reject(new Error(response.error));
    });
    this.#worker.on('error', (error: Error) => this.#end(error));
    this.#worker.on('exit', () => this.#end(new Error('the thread ended')));
  }

  /** Rejects with a plain `Error` where they cannot be read so. */
  pages(path: string, wanted: readonly PageRequest[]): Promise<Page[][]> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    const { promise, resolve, reject } = Promise.withResolvers<Page[][]>();
    this.#pending.push({ resolve, reject });
    // The thread keeps the process alive only while somebody waits for it.
    this.#worker.ref();
    const request: Request = {
      path,
      wanted: wanted.map(({ column: { optional }, chunk }) => ({ optional, chunk })),
    };
    this.#worker.postMessage(request);
    return promise;
  }

  close(): void {
    this.#end(new CancelledError('the reader was closed'));
    this.#worker.terminate().catch(() => undefined);
  }

  #end(error: Error): void {
    this.#ended ??= error;
    for (const { reject } of this.#pending.splice(0)) reject(error);
  }
}
