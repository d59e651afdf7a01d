/**
 * Goldens for test/safety/nsfwjs.test.ts: NSFWJS on TensorFlow.js, which is 335 MB and so no dependency of the
 * repository.
 *
 *     cd tools/oracle/nsfwjs && npm install --no-package-lock --ignore-scripts && node goldens.mjs
 *
 * Writes test/fixtures/nsfwjs/golden.json. The pictures are those of a demo shard and drawn ones, decoded and drawn by
 * the code that the test uses: what is compared begins at the pixels.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs';
import * as nsfwjs from 'nsfwjs';
import { demoPictures, drawn } from '../../../test/safety/drawn.ts';

const OUT = new URL('../../../test/fixtures/nsfwjs/golden.json', import.meta.url);
const KINDS = ['waves', 'noise', 'flat', 'mirror', 'checks'];
const SIZES = [[224, 224], [1, 1], [2, 300], [223, 225], [224, 100], [500, 333]];
/** Pictures of nothing that make the classifier think of each of its classes. */
const SEEDS = [200, 1116, 1345, 2050, 2183, 2689, 4793];
const EVERY = 4;

await tf.setBackend('cpu');
const model = await nsfwjs.load('MobileNetV2');

/** The five probabilities in the order of the model, and SHA-256 of the float32 input `[224, 224, 3]`. */
async function golden({ width, height, data }) {
  const image = tf.tensor3d(Int32Array.from(data), [height, width, 3], 'int32');
  const [probabilities] = await model.infer(image).array();
  // `infer` keeps its input to itself: the same steps again.
  const unit = image.toFloat().div(tf.scalar(255));
  const input = width === 224 && height === 224 ? unit : tf.image.resizeBilinear(unit, [224, 224], true);
  const bytes = new Uint8Array((await input.data()).buffer);
  tf.dispose([image, unit, input]);
  return [probabilities, createHash('sha256').update(bytes).digest('hex')];
}

const demo = {};
for (const [i, [name, pixels]] of [...(await demoPictures())].entries()) {
  if (i % EVERY === 0) demo[name] = await golden(pixels);
}
const made = [];
for (const kind of KINDS) {
  for (const [w, h] of SIZES) made.push([kind, w, h, ...(await golden(drawn(kind, w, h)))]);
}
for (const seed of SEEDS) made.push([`blobs:${seed}`, 224, 224, ...(await golden(drawn(`blobs:${seed}`, 224, 224)))]);
const rows = (list) => list.map((row) => JSON.stringify(row)).join(',\n');
const versions = { nsfwjs: '4.4.0', tfjs: tf.version.tfjs, backend: tf.getBackend() };
const pictures = rows(Object.entries(demo).map(([name, row]) => [name, ...row]));
writeFileSync(OUT, `{"versions":${JSON.stringify(versions)},\n"pictures":[\n${pictures}],\n"drawn":[\n${rows(made)}]}\n`);
