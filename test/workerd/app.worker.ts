/** For the test beside it: the app over a model without towers, in the real workerd. */
import jpeg from '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm';
import webp from '@jsquash/webp/codec/dec/webp_dec.wasm';
import merges from '../../assets/clip-vocab/merges.txt.gz';
import { createApp } from '../../functions/app/app.ts';
import { urlFetcher } from '../../functions/app/fetch-url.ts';
import { keyStore } from '../../functions/app/keys.ts';
import { EDGE_LIMITS } from '../../functions/app/limits.ts';
import { createMetrics } from '../../functions/app/metrics.ts';
import type { Service } from '../../functions/app/service.ts';
import { createEdgeDecoder } from '../../functions/decode.ts';
import { summingModel } from './app-model.ts';

const service: Service = {
  models: [summingModel(new Uint8Array(merges))],
  decoder: createEdgeDecoder({ jpeg, webp }),
  limits: EDGE_LIMITS,
  keys: 'open',
  ready: async () => {},
  metrics: createMetrics(),
  log: () => {},
};
const open = createApp(service);
const locked = createApp({ ...service, metrics: createMetrics(), keys: keyStore(() => []) });

export default {
  fetch(request: Request): Response | Promise<Response> {
    const { searchParams } = new URL(request.url);
    if (searchParams.has('locked')) return locked.fetch(request);
    const origins = searchParams.getAll('origin');
    if (origins.length === 0) return open.fetch(request);
    // Here as on Workers, fetch is the platform's.
    const fetchUrl = urlFetcher({
      ...{ origins, http: true, timeoutMs: 2000, fetch: (url, init) => fetch(url, init) },
      allows: (address) => address === '127.0.0.1',
    });
    return createApp({ ...service, metrics: createMetrics(), fetchUrl }).fetch(request);
  },
};
