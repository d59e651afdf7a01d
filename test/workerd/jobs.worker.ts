/**
 * For the test beside it: jobs as a Worker runs them, over the demo model, in pieces of a few samples. What a test asks
 * beside the API lies behind `/test/`: objects of the buckets, messages, and places at which the consumer is to fail.
 */
import jpeg from '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm';
import webp from '@jsquash/webp/codec/dec/webp_dec.wasm';
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import merges from '../../assets/clip-vocab/merges.txt.gz';
import config from '../../demo/model/open_clip_config.json' with { type: 'json' };
import weights from '../../demo/model/open_clip_model.safetensors';
import { createApp } from '../../functions/app/app.ts';
import { EDGE_LIMITS } from '../../functions/app/limits.ts';
import { createMetrics } from '../../functions/app/metrics.ts';
import type { ServedModel, Service } from '../../functions/app/service.ts';
import { createEdgeDecoder } from '../../functions/decode.ts';
import type { JobPlace } from '../../functions/jobs/consumer.ts';
import { createJobs } from '../../functions/jobs/create.ts';
import type { JobMessage } from '../../functions/jobs/records.ts';
import { edgeSessions } from '../../functions/onnx.ts';
import { bodyOf, listAll } from '../../functions/workers/bucket.ts';
import { type Batch, consumeBatch, type JobsEnv, jobPlace } from '../../functions/workers/jobs.ts';
import { parseClipConfig } from '../../src/clip/config.ts';
import { embedderOf } from '../../src/clip/embedder.ts';
import { loadClip, TOWERS_VERSION } from '../../src/clip/model.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { parsePreprocess } from '../../src/image/preprocess-config.ts';
import { memorySource } from '../../src/io/memory.ts';
import { fingerprint } from '../../src/run/fingerprint.ts';

type Env = Required<Pick<JobsEnv, 'SHARDS' | 'METADATA' | 'JOBS'>>;

/** At this step of this shard the consumer fails, so many times; `hang` is to be at work until the process is killed. */
export interface Fault {
  step: string;
  shard: string;
  times: number;
  hang?: boolean;
}

const FAULTS = 'test/faults.json';
const decoder = createEdgeDecoder({ jpeg, webp });
const clip = parseClipConfig(JSON.stringify(config), 'open_clip_config.json');
const preprocess = parsePreprocess(config.preprocess_cfg, clip.vision.imageSize);

const FINGERPRINT = fingerprint(['the demo model', TOWERS_VERSION, 'fp32', 'wasm']);

/** Towers are loaded when the first of the isolate is asked of them. */
async function loadDemo(): Promise<ServedModel> {
  const bytes = new Uint8Array(weights);
  const file = memorySource('weights', bytes);
  const loaded = await loadClip({
    config: clip,
    weights: { name: 'weights', size: bytes.length, slice: (start, end) => file.slice!(start, end) },
    sessions: edgeSessions(wasm, bytes),
  });
  return {
    ...{ name: 'demo', slug: 'demo', fingerprint: FINGERPRINT, preprocess, heads: [] },
    tokenizer: createTokenizer(new Uint8Array(merges)),
    clip: embedderOf(loaded, preprocess),
  };
}

/** What was worked on in this process: shard and step, in order. */
const steps: string[] = [];

async function start(env: Env): Promise<{ service: Service; place: JobPlace }> {
  const service: Service = {
    models: [await loadDemo()],
    decoder,
    limits: EDGE_LIMITS,
    keys: 'open',
    ready: async () => {},
    metrics: createMetrics(),
    log: () => {},
  };
  const place = jobPlace(env, service, {
    ...{ window: 6, pieceSamples: 12, judgedSamples: 6 },
    ...{ leaseMs: 2_000, retrySeconds: [1, 1], settleSeconds: [1, 1] },
  });
  if (place === undefined) throw new Error('a binding is missing');
  place.onStep = (step, shard) => onStep(env, step, shard);
  service.jobs = createJobs(place);
  return { service, place };
}

let started: ReturnType<typeof start> | undefined;

async function onStep(env: Env, step: string, shard: string): Promise<void> {
  steps.push(`${shard} ${step}`);
  const body = bodyOf(await env.METADATA.get(FAULTS));
  if (body === undefined) return;
  const faults = JSON.parse(new TextDecoder().decode(await body.arrayBuffer())) as Fault[];
  const fault = faults.find((one) => one.step === step && one.shard === shard && one.times > 0);
  if (fault === undefined) return;
  fault.times--;
  await env.METADATA.put(FAULTS, new TextEncoder().encode(JSON.stringify(faults)));
  if (fault.hang) await new Promise((resolve) => setTimeout(resolve, 60_000));
  throw new Error(`the test stops ${shard} at ${step}`);
}

async function testRoute(request: Request, env: Env): Promise<Response> {
  const { pathname, searchParams } = new URL(request.url);
  const [, , what, bucketName, ...rest] = pathname.split('/');
  const key = rest.join('/');
  const bucket = bucketName === 'shards' ? env.SHARDS : env.METADATA;
  if (what === 'steps') return Response.json(steps);
  if (what === 'send') {
    await env.JOBS.send((await request.json()) as JobMessage);
    return new Response();
  }
  if (what === 'list') {
    const keys: string[] = [];
    for await (const object of listAll(bucket, { prefix: searchParams.get('prefix') ?? '' }))
      keys.push(object.key);
    return Response.json(keys);
  }
  if (request.method === 'PUT') {
    await bucket.put(key, new Uint8Array(await request.arrayBuffer()));
    return new Response();
  }
  if (request.method === 'DELETE') {
    await bucket.delete(key);
    return new Response();
  }
  const body = bodyOf(await bucket.get(key));
  return body === undefined ? new Response('none', { status: 404 }) : new Response(body.body);
}

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    if (new URL(request.url).pathname.startsWith('/test/')) return testRoute(request, env);
    started ??= start(env);
    return createApp((await started).service).fetch(request);
  },
  async queue(batch: Batch, env: Env): Promise<void> {
    started ??= start(env);
    await consumeBatch((await started).place, batch);
  },
};
