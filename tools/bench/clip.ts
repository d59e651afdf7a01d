/**
 * What a checkpoint costs and how near it comes to open_clip, in one fresh process:
 *
 *   node tools/bench/clip.ts FOLDER [--golden FILE] [--threads N] [--lean] [--no-worker] [--memory]
 *                            [--images N,N,…] [--texts N,N,…] [--tokens T] [--seconds S]
 *
 * FOLDER holds open_clip_config.json and open_clip_model.safetensors. `--golden` is made by
 * `python tools/oracle/clip_goldens.py FOLDER FILE`. Prints one JSON object. Rates are the best of the runs that fit
 * into `--seconds` a batch size, at least three; memory is the process's high-water mark.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openClip } from '../../cli/onnx/clip.ts';
import { cosine } from '../../src/clip/model.ts';
import { goldenPixels, largestDifference, readGolden } from '../../test/clip/golden.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    golden: { type: 'string' },
    threads: { type: 'string' },
    lean: { type: 'boolean' },
    'no-worker': { type: 'boolean' },
    memory: { type: 'boolean' },
    images: { type: 'string', default: '1,8,16,32' },
    texts: { type: 'string', default: '16,32,64' },
    tokens: { type: 'string', default: '15' },
    seconds: { type: 'string', default: '8' },
  },
});
const [folder] = positionals;
const sizes = (text: string): number[] => text.split(',').filter(Boolean).map(Number);
const megabytes = (bytes: number): number => Math.round(bytes / 1e6);

interface Rate {
  perSecond: number;
  /** Processor seconds an item, all threads together: what tells on a machine that others use. */
  cpuSeconds: number;
}

/** The best of several runs over `n` items. */
async function rate(n: number, run: () => Promise<unknown>): Promise<Rate> {
  const begin = performance.now();
  let wall = Number.POSITIVE_INFINITY;
  let cpu = Number.POSITIVE_INFINITY;
  for (let k = 0; k < 3 || performance.now() - begin < Number(values.seconds) * 1000; k++) {
    const start = performance.now();
    const used = process.cpuUsage();
    await run();
    const { user, system } = process.cpuUsage(used);
    wall = Math.min(wall, (performance.now() - start) / 1e3);
    cpu = Math.min(cpu, (user + system) / 1e6);
  }
  return { perSecond: Number((n / wall).toPrecision(3)), cpuSeconds: Number((cpu / n).toPrecision(3)) };
}

const files = {
  config: join(folder, 'open_clip_config.json'),
  weights: join(folder, 'open_clip_model.safetensors'),
};
const start = performance.now();
const model = await openClip(files, {
  threads: values.threads === undefined ? undefined : Number(values.threads),
  lean: values.lean,
  worker: !values['no-worker'],
  weights: values.memory ? 'memory' : 'in-place',
});
const report: Record<string, unknown> = {
  folder,
  loadSeconds: Math.round(performance.now() - start) / 1000,
  rssLoaded: megabytes(process.memoryUsage.rss()),
};

if (values.golden !== undefined) {
  const golden = await readGolden(values.golden);
  const images = await model.embedImages(goldenPixels(golden.pictures, model.imageSize), golden.pictures);
  const texts = await model.embedTexts(golden.ids.map((row) => Int32Array.from(row)));
  const cosines = golden.cosines.flatMap((row, i) =>
    row.map((_, j) => cosine(images, i, texts, j, model.dim)),
  );
  report['difference'] = {
    image: largestDifference(images, golden.image_unit),
    text: largestDifference(texts, golden.text_unit),
    cosine: largestDifference(Float32Array.from(cosines), golden.cosines),
  };
}

const imageRates: Record<string, Rate> = {};
for (const n of sizes(values.images)) {
  const pixels = goldenPixels(n, model.imageSize);
  imageRates[n] = await rate(n, () => model.embedImages(pixels, n));
}
const textRates: Record<string, Rate> = {};
const { vocabSize } = model.config.text;
for (const n of sizes(values.texts)) {
  const length = Number(values.tokens);
  const ids = Array.from({ length: n }, (_, k) =>
    Int32Array.from({ length }, (_, j) =>
      j === length - 1 ? vocabSize - 1 : (k * 7919 + j * 131) % (vocabSize - 2),
    ),
  );
  textRates[n] = await rate(n, () => model.embedTexts(ids));
}
report['images'] = imageRates;
report['captions'] = textRates;
report['rssPeak'] = Math.round(process.resourceUsage().maxRSS / 1e3);
await model.release();
process.stdout.write(`${JSON.stringify(report)}\n`);
