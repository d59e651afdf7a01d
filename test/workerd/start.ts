import { unstable_startWorker } from 'wrangler';

export interface RunningWorker {
  fetch(
    path: string,
    init?: { method?: string; body?: Uint8Array<ArrayBuffer> | string; headers?: Record<string, string> },
  ): Promise<Response>;
  dispose(): Promise<void>;
}

/** Bundles a Worker with wrangler and runs it in the real workerd on a free port of 127.0.0.1. */
export async function startWorker(config: string, entrypoint?: string): Promise<RunningWorker> {
  process.env['WRANGLER_SEND_METRICS'] = 'false';
  process.env['CLOUDFLARE_CF_FETCH_ENABLED'] = 'false';
  const worker = await unstable_startWorker({
    config,
    ...(entrypoint === undefined ? {} : { entrypoint }),
    dev: { server: { hostname: '127.0.0.1', port: 0 }, inspector: false, watch: false, logLevel: 'error' },
  });
  await worker.ready;
  const base = await worker.url;
  return {
    fetch: (path, init) => fetch(new URL(path, base), init),
    dispose: () => worker.dispose(),
  };
}
