/**
 * Makes assets/nsfwjs/mobilenet_v2.safetensors from the npm package nsfwjs:
 *
 *     npm pack nsfwjs@4.4.0 && tar xzf nsfwjs-4.4.0.tgz
 *     node tools/nsfwjs/convert.ts package
 *
 * The bytes of the weights stay as they are: uint8, with TensorFlow.js' scale and minimum beside them. The topology is
 * compared, layer by layer, with the network that src/safety/nsfwjs builds.
 */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import {
  BLOCKS,
  DENSE,
  EPSILON,
  FIRST,
  LAST,
  NSFWJS_LABELS,
  NSFWJS_SIDE,
} from '../../src/safety/nsfwjs/architecture.ts';

const ASSETS = new URL('../../assets/nsfwjs/', import.meta.url);

interface Layer {
  class_name: string;
  config: Record<string, unknown>;
  inbound_nodes: [string, ...unknown[]][][];
}
interface WeightSpec {
  name: string;
  shape: number[];
  dtype: string;
  quantization: { dtype: string; scale: number; min: number };
}
interface ModelJson {
  modelTopology: { model_config: { config: { layers: Layer[] } } };
  weightsManifest: { paths: string[]; weights: WeightSpec[] }[];
}

/** `[class, name, what decides its numbers, names of its inputs]`. */
type Expected = [string, string, Record<string, unknown>, string[]];

/** The layers that the graph of src/safety/nsfwjs stands for, in Keras' words. */
function expectedLayers(): Expected[] {
  const layers: Expected[] = [];
  let last = '';
  const add = (kind: string, name: string, config: Record<string, unknown>, from = [last]) => {
    layers.push([kind, name, config, from]);
    last = name;
  };
  const norm = (name: string) =>
    add('BatchNormalization', name, { axis: -1, epsilon: EPSILON, center: true, scale: true });
  const relu = (name: string) => add('ReLU', name, { max_value: 6, negative_slope: 0, threshold: 0 });
  const pad = (name: string) =>
    add('ZeroPadding2D', name, {
      padding: [
        [0, 1],
        [0, 1],
      ],
    });
  const conv = (name: string, filters: number, kernel: number, stride: number, padding: string) =>
    add('Conv2D', name, {
      filters,
      kernel_size: [kernel, kernel],
      strides: [stride, stride],
      padding,
      dilation_rate: [1, 1],
      activation: 'linear',
      use_bias: false,
    });
  add('InputLayer', 'input_1', { batch_input_shape: [null, NSFWJS_SIDE, NSFWJS_SIDE, 3] }, []);
  pad('Conv1_pad');
  conv('Conv1', FIRST, 3, 2, 'valid');
  norm('bn_Conv1');
  relu('Conv1_relu');
  for (const { name, middle, output, stride, expands, adds } of BLOCKS) {
    const start = last;
    if (expands) {
      conv(`${name}_expand`, middle, 1, 1, 'same');
      norm(`${name}_expand_BN`);
      relu(`${name}_expand_relu`);
    }
    if (stride === 2) pad(`${name}_pad`);
    add('DepthwiseConv2D', `${name}_depthwise`, {
      kernel_size: [3, 3],
      strides: [stride, stride],
      padding: stride === 2 ? 'valid' : 'same',
      dilation_rate: [1, 1],
      activation: 'linear',
      use_bias: false,
      depth_multiplier: 1,
    });
    norm(`${name}_depthwise_BN`);
    relu(`${name}_depthwise_relu`);
    conv(`${name}_project`, output, 1, 1, 'same');
    norm(`${name}_project_BN`);
    if (adds) add('Add', `${name}_add`, {}, [start, last]);
  }
  conv('Conv_1', LAST, 1, 1, 'valid');
  norm('Conv_1_bn');
  relu('out_relu');
  add('AveragePooling2D', 'average_pooling2d_1', { pool_size: [7, 7], padding: 'valid', strides: [7, 7] });
  add('Flatten', 'flatten_1', {});
  for (const [i, units] of DENSE.entries()) {
    const activation = i < DENSE.length - 1 ? 'relu' : 'softmax';
    add('Dense', `dense_${i + 1}`, { units, activation, use_bias: true });
    // Dropout does nothing outside training.
    if (i < DENSE.length - 1) add('Dropout', `dropout_${i + 2}`, {});
  }
  return layers;
}

function checkTopology(layers: Layer[]): void {
  const expected = expectedLayers();
  for (const [i, layer] of layers.entries()) {
    const [kind, name, config, from] = expected[i] ?? [];
    const picked = Object.fromEntries(Object.keys(config ?? {}).map((key) => [key, layer.config[key]]));
    const inputs = layer.inbound_nodes.flat().map(([input]) => input);
    const found = [layer.class_name, layer.config['name'], picked, inputs];
    if (!isDeepStrictEqual(found, [kind, name, config, from])) {
      throw new Error(`layer ${i} is not the one expected: ${JSON.stringify(found)}`);
    }
    const format = layer.config['data_format'];
    if (format !== undefined && format !== 'channels_last') throw new Error(`layer ${name} has ${format}`);
  }
  if (layers.length !== expected.length) throw new Error(`${layers.length} layers of ${expected.length}`);
}

/** A safetensors file; the header is padded to a multiple of 8, as the reference writer does. */
function safetensors(specs: WeightSpec[], data: Uint8Array, metadata: Record<string, string>): Uint8Array {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let at = 0;
  for (const { name, shape } of specs) {
    const length = shape.reduce((product, size) => product * size, 1);
    header[name] = { dtype: 'U8', shape, data_offsets: [at, at + length] };
    at += length;
  }
  if (at !== data.length) throw new Error(`${data.length} bytes of weights, ${at} described`);
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.concat([json, Buffer.alloc((8 - (json.length % 8)) % 8, ' ')]);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, data]);
}

async function main(folder: string): Promise<void> {
  const load = createRequire(import.meta.url);
  const models = resolve(folder, 'dist/models/mobilenet_v2');
  const model = load(join(models, 'model.min.js')) as ModelJson;
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string };
  checkTopology(model.modelTopology.model_config.config.layers);
  const specs = model.weightsManifest.flatMap(({ weights }) => weights);
  for (const { name, dtype, quantization } of specs) {
    if (dtype !== 'float32' || quantization.dtype !== 'uint8') throw new Error(`${name} is not uint8`);
  }
  const shards = model.weightsManifest.flatMap(({ paths }) => paths);
  const data = Buffer.concat(
    shards.map((shard) => Buffer.from(load(join(models, `${shard}.min.js`)) as string, 'base64')),
  );
  const ranges = specs.map(({ name, quantization: { scale, min } }) => [name, [scale, min]]);
  const metadata = {
    source: `npm nsfwjs ${version}, dist/models/mobilenet_v2`,
    licence: 'MIT, Copyright (c) 2019 Infinite Red, Inc.',
    labels: NSFWJS_LABELS.join(','),
    quantization: JSON.stringify(Object.fromEntries(ranges)),
  };
  await mkdir(ASSETS, { recursive: true });
  await writeFile(new URL('mobilenet_v2.safetensors', ASSETS), safetensors(specs, data, metadata));
  await copyFile(join(folder, 'LICENSE'), new URL('LICENSE', ASSETS));
  console.log(`${specs.length} tensors, ${data.length} weights of nsfwjs ${version}`);
}

await main(process.argv[2] ?? 'package');
