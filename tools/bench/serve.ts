/**
 * `shardsieve serve` under load, against what its towers do alone in full batches, in one run:
 *
 *   node tools/bench/serve.ts [--model demo|local-dir:FOLDER] [--precision fp32|int8] [--shard FILE] [--seconds 15]
 *
 * Prints one JSON object and a table. One picture and its caption a request, all over 127.0.0.1. `full`: 32 connections,
 * each asking again as soon as it is answered. `half`: requests at random times (seeded, Poisson) at half the rate of
 * `full`, whoever waits. The client runs on the same cores. Every request must be answered.
 */
import { spawn } from 'node:child_process';
import { parseArgs } from 'node:util';
import { Pool } from 'undici';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { fileSource } from '../../cli/io/file.ts';
import { wantModels } from '../../cli/jobs/models.ts';
import { IMAGE_BATCH } from '../../src/clip/model.ts';
import type { Precision } from '../../src/clip/precision.ts';
import { preprocessBytes } from '../../src/image/preprocess.ts';
import { sniff } from '../../src/image/sniff.ts';
import { type Pair, toPair } from '../../src/webdataset/pair.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import type { Bench } from './setup.ts';

const CONNECTIONS = 32;
const PAIRS = 64;

export interface ServeLoad {
  model: string;
  precision: Precision;
  /** A tar. */
  shard: string;
  /** Of each phase. */
  seconds: number;
}

export interface ServeFigures {
  /** Pairs a second of the towers alone, in batches of 16. */
  towers: number;
  /** Requests a second with 32 connections, and its share of `towers`. */
  full: number;
  share: number;
  /** Milliseconds of a lone request: median. */
  unloadedMs: number;
  /** Requests a second that were asked for at half load; milliseconds in which 99 of 100 were answered, and times `unloadedMs`. */
  half: number;
  halfP99Ms: number;
  times: number;
  requests: number;
  failed: number;
}

export async function serveLoad({ model, precision, shard, seconds }: ServeLoad): Promise<ServeFigures> {
  const pairs = await pairsOf(shard);
  const towers = await towersAlone(model, precision, pairs, seconds);
  const server = spawn(
    process.execPath,
    ['cli/main.ts', 'serve', '--model', model, '--precision', precision, '--open', '--port', '0', '--quiet'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  try {
    const url = await new Promise<string>((resolve, reject) => {
      let said = '';
      server.once('exit', (code) => reject(new Error(`the server ended with ${code}`)));
      server.stdout.on('data', (bytes) => {
        said += bytes;
        const found = /listening on (\S+)/.exec(said);
        if (found !== null) resolve(found[1]);
      });
    });
    const asking = new Asking(url, pairs);
    for (let i = 0; i < 10; i++) await asking.one();
    asking.times = [];
    await until(seconds / 2, () => asking.one());
    const unloadedMs = quantile(asking.times, 0.5);
    asking.times = [];
    const began = performance.now();
    await Promise.all(Array.from({ length: CONNECTIONS }, () => until(seconds, () => asking.one())));
    const full = (1000 * asking.times.length) / (performance.now() - began);
    asking.times = [];
    await poisson(full / 2, seconds, () => asking.one());
    const halfP99Ms = quantile(asking.times, 0.99);
    const { requests, failed } = asking;
    await asking.close();
    return {
      ...{ towers, full, share: full / towers, unloadedMs, half: full / 2, halfP99Ms },
      ...{ times: halfP99Ms / unloadedMs, requests, failed },
    };
  } finally {
    server.removeAllListeners('exit');
    server.kill('SIGTERM');
  }
}

/** Requests that are sent as bytes made beforehand. */
class Asking {
  times: number[] = [];
  requests = 0;
  failed = 0;
  readonly #pool: Pool;
  readonly #bodies: Buffer[];
  #next = 0;

  constructor(url: string, pairs: readonly Pair[]) {
    this.#pool = new Pool(url, { connections: 512 });
    this.#bodies = pairs.map(bodyOf);
  }

  async one(): Promise<void> {
    const body = this.#bodies[this.#next++ % this.#bodies.length];
    this.requests++;
    const started = performance.now();
    try {
      const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };
      const answer = await this.#pool.request({ method: 'POST', path: '/v1/score', headers, body });
      await answer.body.arrayBuffer();
      if (answer.statusCode !== 200) this.failed++;
    } catch {
      this.failed++;
    }
    this.times.push(performance.now() - started);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

const BOUNDARY = 'shardsieve-bench';

function bodyOf({ image, caption }: Pair): Buffer {
  const field = (name: string, more = '') =>
    `--${BOUNDARY}\r\ncontent-disposition: form-data; name="${name}"${more}\r\n\r\n`;
  return Buffer.concat([
    Buffer.from(`${field('caption')}${caption}\r\n${field('image', '; filename="picture"')}`),
    image,
    Buffer.from(`\r\n--${BOUNDARY}--\r\n`),
  ]);
}

async function pairsOf(shard: string): Promise<Pair[]> {
  const pairs: Pair[] = [];
  for await (const sample of readSamples(fileSource(shard).stream(), { shard: 'bench' })) {
    pairs.push(toPair(sample, { shardBase: 'bench' }));
    if (pairs.length === PAIRS) break;
  }
  return pairs;
}

async function towersAlone(
  spec: string,
  precision: Precision,
  pairs: readonly Pair[],
  seconds: number,
): Promise<number> {
  const [wanted] = await wantModels({ models: [spec], precision });
  const { clip, tokenizer, preprocess } = await wanted.load();
  const decoder = createDecoder();
  const batch = pairs.slice(0, IMAGE_BATCH);
  const pictures: Uint8Array[] = [];
  for (const { image } of batch)
    pictures.push(preprocessBytes(await decoder.decode(image, sniff(image)), preprocess));
  const ids = batch.map(({ caption }) => tokenizer.encode(caption).ids);
  const once = () => Promise.all([clip.embedPictures(pictures), clip.embedTexts(ids)]);
  await once();
  const began = performance.now();
  let rounds = 0;
  await until(seconds, async () => {
    await once();
    rounds++;
  });
  const rate = (1000 * rounds * batch.length) / (performance.now() - began);
  await clip.release();
  return rate;
}

async function until(seconds: number, work: () => Promise<unknown>): Promise<void> {
  const end = performance.now() + seconds * 1000;
  while (performance.now() < end) await work();
}

/** Starts work at random times of the given rate, the same on every run, and waits for all of it. */
async function poisson(perSecond: number, seconds: number, work: () => Promise<void>): Promise<void> {
  let state = 20_261_125;
  const random = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  const began = performance.now();
  const running: Promise<void>[] = [];
  for (let at = 0; at < seconds * 1000; at += (-Math.log(random()) * 1000) / perSecond) {
    const wait = began + at - performance.now();
    if (wait > 0) await new Promise((go) => setTimeout(go, wait));
    running.push(work());
  }
  await Promise.all(running);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];
}

export function serveTable({ precision }: ServeLoad, figures: ServeFigures): string {
  const { towers, full, share, unloadedMs, half, halfP99Ms, times, requests, failed } = figures;
  const round = (value: number) => value.toPrecision(3);
  return [
    '| precision | towers alone, pairs/s | 32 connections, requests/s | share | lone request, ms | half load, requests/s | p99 there, ms | times | requests | failed |',
    '|---|---|---|---|---|---|---|---|---|---|',
    `| ${precision} | ${round(towers)} | ${round(full)} | ${(100 * share).toFixed(0)}% | ${round(unloadedMs)} | ${round(half)} | ${round(halfP99Ms)} | ${times.toFixed(1)} | ${requests} | ${failed} |`,
  ].join('\n');
}

/** As one of the family, with the real architecture. */
export async function serveUnderLoad({ modelFolder, shardPaths, env }: Bench): Promise<ServeFigures[]> {
  Object.assign(process.env, env);
  const all: ServeFigures[] = [];
  for (const precision of ['fp32', 'int8'] as const) {
    const load = { model: `local-dir:${modelFolder}`, precision, shard: shardPaths[0], seconds: 15 };
    const figures = await serveLoad(load);
    console.log(serveTable(load, figures));
    all.push(figures);
  }
  return all;
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      model: { type: 'string', default: 'demo' },
      precision: { type: 'string', default: 'fp32' },
      shard: { type: 'string', default: 'demo/shards/demo-00000.tar' },
      seconds: { type: 'string', default: '15' },
    },
  });
  const load: ServeLoad = {
    model: values.model,
    precision: values.precision as Precision,
    shard: values.shard,
    seconds: Number(values.seconds),
  };
  const figures = await serveLoad(load);
  console.log(`${JSON.stringify(figures)}\n\n${serveTable(load, figures)}`);
}
