import { serve } from '@hono/node-server';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import { createApp } from '../../functions/app/app.ts';
import { DEFAULT_LIMITS } from '../../functions/app/limits.ts';
import { createMetrics } from '../../functions/app/metrics.ts';
import type { LogLine, ServedModel, Service } from '../../functions/app/service.ts';

/** The demo model, ready to embed; whoever asks releases its `clip`. */
export async function demoModel(more: Partial<ServedModel> = {}): Promise<ServedModel> {
  const [wanted] = await wantModels({ models: ['demo'] });
  const { name, fingerprint } = wanted.entry;
  return { ...(await wanted.load()), name: String(name), fingerprint, heads: [], ...more };
}

/** Pictures and captions at numbers that say which they were: for what is not about the towers. */
export function fakeModel(more: Partial<ServedModel['clip']> = {}): ServedModel {
  const dim = 4;
  const rows = (n: number) => Float32Array.from({ length: n * dim }, (_, i) => (i % dim === 0 ? 1 : 0));
  return {
    ...{ name: 'fake', slug: 'fake', fingerprint: 'f'.repeat(32), heads: [] },
    preprocess: {
      ...{ width: 8, height: 8, interpolation: 'bicubic', resizeMode: 'shortest', fillColor: 0 },
      mean: [0, 0, 0],
      std: [1, 1, 1],
    },
    tokenizer: { contextLength: 77, encode: () => ({ ids: Int32Array.of(1, 2), truncated: false }) },
    clip: {
      ...{ dim, contextLength: 77, imageSize: 8, logitScale: 100, precision: 'fp32', provider: 'fake' },
      embedPictures: async (pictures) => rows(pictures.length),
      embedTexts: async (ids) => rows(ids.length),
      release: async () => {},
      ...more,
    },
  };
}

export interface Running {
  url: string;
  logged: LogLine[];
  close(): Promise<void>;
}

/** The app behind real HTTP on a free port of 127.0.0.1; `open` unless told otherwise. */
export async function startApp(parts: Partial<Service> = {}): Promise<Running> {
  const logged: LogLine[] = [];
  const service: Service = {
    models: [fakeModel()],
    decoder: createDecoder(),
    limits: DEFAULT_LIMITS,
    keys: 'open',
    ready: async () => {},
    metrics: createMetrics(),
    log: (line) => logged.push(line),
    ...parts,
  };
  const app = createApp(service);
  return new Promise((resolve) => {
    const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' }, ({ port }) =>
      resolve({
        url: `http://127.0.0.1:${port}`,
        logged,
        close: () =>
          new Promise((done) => {
            server.close(() => done());
            if ('closeAllConnections' in server) server.closeAllConnections();
          }),
      }),
    );
  });
}
