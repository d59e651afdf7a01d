/**
 * Layers from the tensors of a torch module, as safetensors: DataComp's head (BatchNorm1d(768, eps 0), or `mean` and
 * `variance`, → 64 → 512 → 256 → 1), LAION's H/14 (1024 → 1024 → 2048 → 1024 → 256 → 128 → 16 → 1) and others of their form. Their code is not
 * in the file; the two rules below are how both are written: ReLU between linear layers, none before the last, and
 * a sigmoid at the end. In H/14 the last two have nothing between them and nothing after, which is told by its sizes.
 */
import { ModelError } from '../../errors.ts';
import {
  type RangedBytes,
  readSafetensors,
  type TensorEntry,
  type TensorTable,
} from '../../onnx/safetensors.ts';
import type { Activation, Layer } from './layers.ts';

/** `nn.Linear(16, 1)` straight after `nn.Linear(128, 16)`, and no sigmoid: LAION's h14_nsfw_model.py. */
const H14_WIDTHS = [1024, 1024, 2048, 1024, 256, 128, 16, 1];

/** Throws `ModelError` naming file and tensor. */
export async function importTorchLayers(file: RangedBytes): Promise<{ layers: Layer[]; dim: number }> {
  const table = await readSafetensors(file, 'head');
  const fail = (problem: string, tensor?: string) =>
    new ModelError(`the tensors are no head: ${problem}`, {
      file: file.name,
      tensor,
      hint: 'Known are a BatchNorm1d and linear layers, named as torch.nn.Sequential names them',
    });
  const groups = modulesOf(table, fail);
  const layers: Layer[] = [];
  const widths: number[] = [];
  for (const [name, entries] of groups) {
    const read = (part: string) => readFloats(file, entries.get(part), `${name}.${part}`, fail);
    const mean = entries.get('running_mean') === undefined ? 'mean' : 'running_mean';
    if (entries.has(mean)) {
      const variance = (await read(mean === 'mean' ? 'variance' : 'running_var')).values;
      const optional = async (part: string) => (entries.has(part) ? (await read(part)).values : undefined);
      const gamma = await optional('weight');
      const beta = await optional('bias');
      layers.push({
        type: 'normalise',
        mean: (await read(mean)).values,
        // DataComp's eps is 0. The file does not say; torch's default, 1e-5, would be a tenth of some variances.
        scale: variance.map((value) => Math.sqrt(value)),
        ...(gamma === undefined ? {} : { gamma }),
        ...(beta === undefined ? {} : { beta }),
      });
      continue;
    }
    const weight = await read('weight');
    if (weight.shape.length !== 2) throw fail('a weight is no matrix', `${name}.weight`);
    const [outputs, inputs] = weight.shape;
    if (widths.length === 0) widths.push(inputs);
    widths.push(outputs);
    const bias = entries.has('bias') ? (await read('bias')).values : undefined;
    layers.push({
      type: 'dense',
      inputs,
      outputs,
      weight: turned(weight.values, outputs, inputs),
      ...(bias === undefined ? {} : { bias }),
      activation: 'relu',
    });
  }
  if (widths.length < 2) throw fail('there is no linear layer');
  return { layers: withActivations(layers, widths), dim: widths[0] };
}

type Fail = (problem: string, tensor?: string) => ModelError;

/** Tensors by module, in the order of the modules' numbers; one without a number (`norm`) comes first. */
function modulesOf(table: TensorTable, fail: Fail): [string, Map<string, TensorEntry>][] {
  const modules = new Map<string, Map<string, TensorEntry>>();
  for (const [name, entry] of table.tensors) {
    const match = /^(.*?)\.?(weight|bias|running_mean|running_var|num_batches_tracked|mean|variance)$/.exec(
      name,
    );
    if (match === null) throw fail('a tensor has a name that is not known', name.slice(0, 120));
    const known = modules.get(match[1]) ?? new Map<string, TensorEntry>();
    modules.set(match[1], known.set(match[2], entry));
  }
  const order = (name: string): number[] => (name.match(/\d+/g) ?? []).map(Number);
  return [...modules].sort(([a], [b]) => {
    const [x, y] = [order(a), order(b)];
    const i = x.findIndex((value, at) => value !== y[at]);
    return i < 0 ? x.length - y.length : x[i] - (y[i] ?? -1);
  });
}

function withActivations(layers: Layer[], widths: readonly number[]): Layer[] {
  const isH14 = String(widths) === String(H14_WIDTHS);
  const dense = layers.filter((layer) => layer.type === 'dense');
  return layers.map((layer): Layer => {
    if (layer.type !== 'dense') return layer;
    const fromEnd = dense.length - 1 - dense.indexOf(layer);
    let activation: Activation = fromEnd === 0 ? 'sigmoid' : 'relu';
    if (isH14 && fromEnd <= 1) activation = 'linear';
    return { ...layer, activation };
  });
}

async function readFloats(
  file: RangedBytes,
  entry: TensorEntry | undefined,
  name: string,
  fail: Fail,
): Promise<{ shape: readonly number[]; values: Float32Array }> {
  if (entry === undefined) throw fail('a tensor is missing', name);
  if (entry.dtype !== 'F32') throw fail(`a tensor is ${entry.dtype}, not F32`, name);
  const bytes = await file.slice(entry.offset, entry.offset + entry.length);
  return { shape: entry.shape, values: new Float32Array(new Uint8Array(bytes).buffer) };
}

/** `[outputs, inputs]` as `[inputs, outputs]`. */
function turned(values: Float32Array, outputs: number, inputs: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let o = 0; o < outputs; o++)
    for (let k = 0; k < inputs; k++) out[k * outputs + o] = values[o * inputs + k];
  return out;
}
