import { createHash } from 'node:crypto';
import { createApp } from '../../functions/app/app.ts';
import { DEFAULT_LIMITS, type Limits } from '../../functions/app/limits.ts';
import { createMetrics } from '../../functions/app/metrics.ts';
import { tokenBuckets } from '../../functions/app/rate-limit.ts';
import type { LogLine, Service } from '../../functions/app/service.ts';
import { messageOf, UsageError } from '../../src/errors.ts';
import { createDecoder } from '../decode/decoder.ts';
import type { DownloadOptions } from '../hub/download.ts';
import { gunzipNode } from '../io/gunzip.ts';
import { openNsfwjs } from '../safety/nsfwjs.ts';
import { parseSafety } from '../safety/specs.ts';
import { type GuardOptions, guardedFetcher } from '../serve/guard.ts';
import { listen } from '../serve/http.ts';
import { keyFile } from '../serve/keys.ts';
import { closeModels, openModels } from '../serve/models.ts';
import { pageFile } from '../serve/page.ts';
import { serveTowers, TOWERS_PATH } from '../serve/towers.ts';
import type { ModelChoice } from './models.ts';

export interface ServeOptions extends ModelChoice, Pick<DownloadOptions, 'signal' | 'onNote' | 'onProgress'> {
  /** As `score --safety`, as far as it judges pictures. */
  safety?: readonly string[];
  /** Default 127.0.0.1: this machine only. */
  host?: string;
  /** 0: any that is free. Default 8787. */
  port?: number;
  /**
   * The first model's towers under `/towers`, for Workers elsewhere (docs/edge.md): the key that they bring, or `open`.
   * Absent: not.
   */
  towersKey?: string;
  /** A file of keys, or `open`: whoever reaches the server may use it. */
  keys: string;
  /** Requests a minute and key; default without limit. */
  ratePerMinute?: number;
  /** Origins of pages elsewhere that may call the API. */
  cors?: readonly string[];
  /** Where pictures that requests name may be fetched from; absent: from nowhere. */
  urls?: GuardOptions;
  limits?: Partial<Limits>;
  /** Milliseconds that a lone request waits for others to be run with. Default 2. */
  waitMs?: number;
  /** Pictures, and captions, that may wait; beyond it requests are answered 503. Default 512. */
  backlog?: number;
  /** When stopping: milliseconds in which new requests are still taken, and in which those on their way may end. */
  lingerMs?: number;
  graceMs?: number;
  log?(line: LogLine): void;
}

export interface Serving {
  url: string;
  models: { name: string; slug: string; precision: string; provider: string }[];
  /** Answers what is on its way and stops; requests that had to be cut off. */
  stop(): Promise<number>;
}

/** Where a model's and its queue's waiting inputs are told. */
const WAITING = { shardsieve_waiting: { help: 'Pictures and captions that wait or run, by model.' } };

/**
 * The API on this machine, ready when it resolves. Throws `UsageError`, `ModelError`, `DownloadError`; nothing listens
 * then.
 */
export async function serve(options: ServeOptions): Promise<Serving> {
  const { keys, host = '127.0.0.1', port = 8787, ratePerMinute, waitMs = 2, backlog = 512 } = options;
  const log = options.log ?? (() => {});
  const specs = parseSafety(options.safety ?? []);
  const store =
    keys === 'open'
      ? 'open'
      : await keyFile(keys, (error) =>
          log({
            level: 'error',
            message: 'the keys changed and cannot be read; those from before stay',
            error: messageOf(error),
          }),
        );
  const limits = { ...DEFAULT_LIMITS, ...options.limits };
  const urls = options.urls === undefined ? undefined : guardedFetcher(options.urls);
  const nsfw = specs.some(({ kind }) => kind === 'nsfwjs')
    ? await openNsfwjs({ threads: options.threads })
    : undefined;
  const models = await openModels(options, specs, { ...options, batching: { waitMs, backlog } });
  const metrics = createMetrics(WAITING);
  for (const { slug, clip } of models) {
    metrics.gauge('shardsieve_waiting', () => clip.waiting, { model: slug });
  }
  let stopping = false;
  const service: Service = {
    models,
    decoder: createDecoder(),
    fit: options.fit,
    nsfw,
    limits,
    keys: store,
    rateLimit: ratePerMinute === undefined ? undefined : tokenBuckets({ perMinute: ratePerMinute }),
    cors: options.cors,
    fetchUrl: urls?.fetchUrl,
    page: pageFile,
    async ready() {
      if (stopping) throw new UsageError('the server is stopping');
    },
    metrics,
    log,
    gunzip: gunzipNode,
    hasher: () => {
      const hash = createHash('sha256');
      return { update: (bytes) => void hash.update(bytes), digest: () => hash.digest('hex') };
    },
  };
  const close = async () => {
    await closeModels(models);
    await nsfw?.release();
    await urls?.close();
  };
  try {
    const app = createApp(service);
    const { towersKey } = options;
    const towers =
      towersKey === undefined
        ? undefined
        : serveTowers(models[0], {
            ...(towersKey === 'open' ? {} : { key: towersKey }),
            onError: (error) => log({ level: 'error', message: 'the towers failed', error }),
          });
    const isForTowers = (request: Request) => {
      const { pathname } = new URL(request.url);
      return pathname === TOWERS_PATH || pathname.startsWith(`${TOWERS_PATH}/`);
    };
    const server = await listen(
      (request, env) =>
        towers !== undefined && isForTowers(request)
          ? towers.fetch(request)
          : app.fetch(request, env as object),
      { host, port },
    );
    return {
      url: server.url,
      models: models.map(({ name, slug, clip }) => ({
        name,
        slug,
        precision: clip.precision,
        provider: clip.provider,
      })),
      async stop() {
        stopping = true;
        const { lingerMs = 0, graceMs = 30_000 } = options;
        const cut = await server.stop({ lingerMs, graceMs });
        await close();
        return cut;
      },
    };
  } catch (error) {
    await close();
    throw error;
  }
}
