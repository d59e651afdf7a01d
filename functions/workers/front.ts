/** The front Worker: the app, its pictures decoded and judged here, its towers wherever `model.ts` finds them. */
import type { Hono } from 'hono';
import { messageOf, UsageError } from '../../src/errors.ts';
import type { SessionFactory } from '../../src/onnx/session.ts';
import { loadNsfwjs, type Nsfwjs } from '../../src/safety/nsfwjs/model.ts';
import { NSFWJS_INPUT } from '../../src/safety/nsfwjs/preprocess.ts';
import { createApp } from '../app/app.ts';
import { urlFetcher } from '../app/fetch-url.ts';
import { keyStore, parseKeys } from '../app/keys.ts';
import { EDGE_LIMITS } from '../app/limits.ts';
import { createMetrics } from '../app/metrics.ts';
import type { PageReader } from '../app/page.ts';
import type { RateLimiter } from '../app/rate-limit.ts';
import type { AppEnv } from '../app/route.ts';
import type { LogLine, Service, UrlFetcher } from '../app/service.ts';
import { createEdgeDecoder, type EdgeCodecs } from '../decode.ts';
import type { JobPlace } from '../jobs/consumer.ts';
import { createJobs } from '../jobs/create.ts';
import type { Fetcher, RateLimitBinding } from './bindings.ts';
import { type Batch, consumeBatch, type JobsEnv, jobPlace } from './jobs.ts';
import { type EdgeModel, type ModelEnv, openModel } from './model.ts';
import { once } from './once.ts';
import { EdgeRuntime } from './runtime.ts';

export interface FrontEnv extends ModelEnv, JobsEnv {
  /** `yes`: whoever reaches the Worker may use it. */
  OPEN?: string;
  /** `{"keys": […]}` as `shardsieve keys` writes it, a secret. Without it and without `OPEN` nobody gets in. */
  API_KEYS?: string;
  RATE_LIMITER?: RateLimitBinding;
  /** Origins of pages that may call the API, with commas between. */
  CORS_ORIGINS?: string;
  /** Origins that pictures at URLs may be fetched from, with commas between; without it none are fetched. */
  URL_ORIGINS?: string;
  /** The folder `web`. */
  ASSETS?: Fetcher;
  /** MiB of the runtime's memory here: NSFWJS takes 34, the demo model's towers 6 more. */
  WASM_MIB?: string;
}

/** What the bundle holds beside code. */
export interface FrontModules extends EdgeCodecs {
  ort: WebAssembly.Module;
  merges: ArrayBuffer;
  nsfwjs: ArrayBuffer;
}

const WASM_MIB = 48;
/** Of Workers' own rate limits, which are counted by the minute here. */
const PERIOD_SECONDS = 60;

/** The service of an isolate; its model comes with the first request that wants one. */
export interface Front {
  service: Service;
  /** Finds the model, if it was not found yet. Throws what `openModel` throws. */
  open(): Promise<void>;
  /** Absent where the bindings for jobs are. */
  jobs: JobPlace | undefined;
}

export async function createFront(env: FrontEnv, modules: FrontModules): Promise<Front> {
  const runtime = once(() => EdgeRuntime.start(modules.ort, Number(env.WASM_MIB ?? WASM_MIB)));
  const models: EdgeModel[] = [];
  const open = once(async () => {
    // Answers in between keep the model they began with, whose towers then refuse; another one may be open by then.
    const drop = (): void => {
      if (!models.includes(model)) return;
      models.splice(models.indexOf(model), 1);
      open.forget();
      log({ level: 'warn', message: 'the towers have been replaced: they are asked anew' });
    };
    const model = await openModel(env, { merges: new Uint8Array(modules.merges), runtime, onReplaced: drop });
    models.push(model);
  });
  const service: Service = {
    models,
    decoder: createEdgeDecoder(modules, { maxPixels: EDGE_LIMITS.imagePixels }),
    nsfw: singly(await loadNsfwjs(new Uint8Array(modules.nsfwjs), whenRun(runtime))),
    limits: EDGE_LIMITS,
    keys: keysOf(env),
    clientOf: (request) => request.headers.get('cf-connecting-ip') ?? undefined,
    async ready() {
      await open();
      for (const model of models) await model.warm();
    },
    metrics: createMetrics(),
    log,
  };
  if (env.RATE_LIMITER !== undefined) service.rateLimit = counted(env.RATE_LIMITER);
  if (env.CORS_ORIGINS) service.cors = listOf(env.CORS_ORIGINS);
  if (env.URL_ORIGINS) service.fetchUrl = fetcherOf(env.URL_ORIGINS);
  if (env.ASSETS !== undefined) service.page = pageOf(env.ASSETS);
  const jobs = jobPlace(env, service);
  if (jobs !== undefined) service.jobs = createJobs(jobs);
  return { service, open, jobs };
}

/** The Worker's handlers. The model is looked for when the API is asked; where it is not found, the app says so. */
export function frontHandlers(modules: FrontModules) {
  let made: Promise<{ app: Hono<AppEnv>; front: Front }> | undefined;
  const make = (env: FrontEnv) => {
    made ??= createFront(env, modules)
      .then((front) => ({ front, app: createApp(front.service) }))
      .catch((error: unknown) => {
        made = undefined;
        throw error;
      });
    return made;
  };
  return {
    async fetch(request: Request, env: FrontEnv): Promise<Response> {
      const { front, app } = await make(env);
      if (new URL(request.url).pathname.startsWith('/v1/')) {
        await front.open().catch((error: unknown) => {
          log({ level: 'error', message: 'there is no model', error: messageOf(error) });
        });
      }
      return app.fetch(request, env);
    },
    /** Throws where there is no model or no place for jobs: the queue delivers again. */
    async queue(batch: Batch, env: FrontEnv): Promise<void> {
      const { front } = await make(env);
      if (front.jobs === undefined)
        throw new UsageError('the Worker has a queue and lacks SHARDS, METADATA or JOBS');
      await consumeBatch(front.jobs, batch, front.open);
    },
  };
}

function log(line: LogLine): void {
  console.log(JSON.stringify(line));
}

function keysOf({ OPEN, API_KEYS }: FrontEnv): Service['keys'] {
  if (OPEN === 'yes') return 'open';
  try {
    const records = API_KEYS === undefined ? [] : parseKeys(API_KEYS, 'API_KEYS');
    if (records.length === 0)
      log({ level: 'warn', message: 'there are no keys: set API_KEYS, or OPEN = "yes"' });
    return keyStore(() => records);
  } catch (error) {
    log({ level: 'error', message: 'the keys cannot be read', error: messageOf(error) });
    return keyStore(() => []);
  }
}

function listOf(text: string): string[] {
  return text.split(',').map((one) => one.trim());
}

/** A list that cannot be read is told, and nothing is fetched. */
function fetcherOf(origins: string): UrlFetcher | undefined {
  try {
    return urlFetcher({ origins: listOf(origins), fetch: (url, init) => fetch(url, init) });
  } catch (error) {
    log({ level: 'error', message: 'URL_ORIGINS cannot be read', error: messageOf(error) });
    return undefined;
  }
}

function counted(binding: RateLimitBinding): RateLimiter {
  return {
    async take(holder) {
      const { success } = await binding.limit({ key: holder });
      return success ? { allowed: true } : { allowed: false, retryAfter: PERIOD_SECONDS };
    },
  };
}

function pageOf(assets: Fetcher): PageReader {
  return async (name) => {
    const response = await assets.fetch(new Request(`http://assets/${name}`));
    if (!response.ok) throw new Error(`the page's ${name} is not there: ${response.status}`);
    return new Uint8Array(await response.arrayBuffer());
  };
}

/** A runtime that is started, and a graph that is loaded, when first run: most requests ask for no judgement. */
function whenRun(runtime: () => Promise<EdgeRuntime>): SessionFactory {
  return {
    location: '',
    provider: 'wasm',
    async create(graph) {
      const session = once(async () => (await runtime()).create(graph));
      return {
        run: async (feeds) => (await session()).run(feeds),
        release: async () => (await session()).release(),
      };
    },
  };
}

/** One picture a run: a batch takes 18 MiB more and is no faster on one thread. */
function singly(nsfwjs: Nsfwjs): Nsfwjs {
  const classifyInputs: Nsfwjs['classifyInputs'] = async (inputs, n) => {
    const out = new Float32Array(n * nsfwjs.labels.length);
    for (let i = 0; i < n; i++) {
      const one = inputs.subarray(i * NSFWJS_INPUT, (i + 1) * NSFWJS_INPUT);
      out.set(await nsfwjs.classifyInputs(one, 1), i * nsfwjs.labels.length);
    }
    return out;
  };
  return {
    labels: nsfwjs.labels,
    fingerprint: nsfwjs.fingerprint,
    sha256: nsfwjs.sha256,
    classifyInputs,
    async classify(pictures) {
      const out = new Float32Array(pictures.length * nsfwjs.labels.length);
      for (const [i, picture] of pictures.entries()) {
        out.set(await nsfwjs.classify([picture]), i * nsfwjs.labels.length);
      }
      return out;
    },
    release: () => nsfwjs.release(),
  };
}
