/**
 * A quantised checkpoint as one safetensors file, which holds all that its graphs need: the quantised layers, and the
 * other tensors as they were, but for norms that took up a change of variables.
 */
import { parsePreprocess } from '../../image/preprocess-config.ts';
import type { Sink } from '../../io/bytes.ts';
import type { StoredRef, WeightRef } from '../../onnx/graph.ts';
import { type RangedBytes, readSafetensors } from '../../onnx/safetensors.ts';
import { safetensorsHeader, type TensorShape } from '../../onnx/safetensors-write.ts';
import { widen } from '../../onnx/widen.ts';
import type { ClipConfig } from '../config.ts';
import type { LinearLayer } from '../towers/linear.ts';
import { Weights } from '../towers/weights.ts';
import type { Ranges } from './calibrate.ts';
import { encodeMetadata, tensorNames } from './file.ts';
import { isMlpOutput, PATCHES, quantisedLayers } from './layers.ts';
import { quantiseMatrix } from './matrix.ts';
import { type LayerPlan, planQuantising } from './plan.ts';
import { pixelScale } from './scales.ts';
import { LEAST_ACTIVATION } from './shift.ts';

/** Bytes copied at a time. */
const CHUNK = 2 ** 24;

/**
 * Quantises the checkpoint in `file`, whose layers' inputs range over `ranges`, into `sink`; commits nothing. Holds one
 * matrix at a time. `made` says what it was made from. The same arguments give the same bytes. Throws `ModelError`,
 * `OutputError`.
 */
export async function writeQuantised(
  parts: { config: ClipConfig; file: RangedBytes; ranges: Ranges; made: Readonly<Record<string, string>> },
  sink: Pick<Sink, 'write'>,
): Promise<void> {
  const { config, file, ranges, made } = parts;
  const table = await readSafetensors(file);
  const weights = new Weights(table);
  const layers = quantisedLayers(config, weights);
  const floats = async ({ offset, length, dtype }: WeightRef) =>
    widen(await file.slice(offset, offset + length), dtype);
  const { mean, std } = parsePreprocess(config.preprocess, config.vision.imageSize);
  const plan = await planQuantising(layers, ranges, pixelScale(mean, std), ({ weight }) => floats(weight));

  const pieces: { shape: TensorShape; bytes: () => AsyncIterable<Uint8Array> }[] = [];
  const replaced = replacedTensors(layers);
  for (const entry of table.tensors.values()) {
    if (replaced.has(entry.name)) continue;
    const norm = plan.norms.get(entry.name.replace(/\.(weight|bias)$/, ''));
    if (norm === undefined) {
      const { name, dtype, shape, offset, length } = entry;
      pieces.push({ shape: { name, dtype, shape, length }, bytes: () => copied(file, offset, length) });
      continue;
    }
    const isBias = entry.name.endsWith('.bias');
    const [width] = entry.shape;
    pieces.push({
      shape: { name: entry.name, dtype: 'F32', shape: [width], length: 4 * width },
      async *bytes() {
        const values = await floats(weights.get(entry.name, [width]));
        yield bytesOf(values.map((v, j) => (v - (isBias ? norm.shift[j] : 0)) / norm.factor[j]));
      },
    });
  }
  for (const layerPlan of plan.layers) pieces.push(...layerPieces(layerPlan, floats));

  const inputs = Object.fromEntries(plan.layers.map(({ layer, input }) => [layer.name, input]));
  await sink.write(
    safetensorsHeader(
      pieces.map(({ shape }) => shape),
      encodeMetadata(inputs, made),
    ),
  );
  for (const { bytes } of pieces) for await (const chunk of bytes()) await sink.write(chunk);
}

function layerPieces({ layer, ...options }: LayerPlan, floats: (weight: WeightRef) => Promise<Float32Array>) {
  const [outs, width] = layer.weight.shape;
  const names = tensorNames(layer.name);
  const perColumn = (name: string): TensorShape => ({ name, dtype: 'F32', shape: [outs], length: 4 * outs });
  let made: ReturnType<typeof quantiseMatrix>;
  const isShifted = isMlpOutput(layer.name);
  return [
    {
      shape: { name: names.weight, dtype: 'I8', shape: [width, outs], length: width * outs } as TensorShape,
      async *bytes() {
        const bias = layer.bias === undefined ? undefined : await floats(layer.bias);
        const isPatch = layer.name === PATCHES;
        made = quantiseMatrix(layer.name, await floats(layer.weight), bias, width, { ...options, isPatch });
        yield new Uint8Array(made.weight.buffer);
        // The bytes are the large part, and are written now.
        made = { ...made, weight: new Int8Array(0) };
      },
    },
    { shape: perColumn(names.scale), bytes: () => later(() => bytesOf(made.scale)) },
    { shape: perColumn(names.bias), bytes: () => later(() => bytesOf(made.bias)) },
    ...(isShifted
      ? [
          {
            shape: perColumn(names.shiftedBias),
            bytes: () => later(() => bytesOf(made.bias.map((b, i) => b + LEAST_ACTIVATION * made.sums[i]))),
          },
        ]
      : []),
  ];
}

/** Tensors of the checkpoint that the quantised layers stand for. */
function replacedTensors(layers: readonly LinearLayer[]): Set<string> {
  const names = new Set<string>();
  const base = ({ name }: StoredRef) => name.replace(/(in_proj_(?:weight|bias))\.[qkv]$/, '$1');
  for (const { weight, bias } of layers) {
    names.add(base(weight));
    if (bias !== undefined) names.add(base(bias));
  }
  return names;
}

async function* copied(file: RangedBytes, offset: number, length: number): AsyncIterable<Uint8Array> {
  for (let at = 0; at < length; at += CHUNK) {
    yield await file.slice(offset + at, offset + Math.min(at + CHUNK, length));
  }
}

async function* later(bytes: () => Uint8Array): AsyncIterable<Uint8Array> {
  yield bytes();
}

function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
