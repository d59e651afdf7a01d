/**
 * From a published Keras SavedModel to the layers of a head. Known are chains of the layers that LAION's detectors
 * have; their configuration lies as JSON in `keras_metadata.pb`, weights in the checkpoint, lookup tables in the
 * graph. Anything else in the chain is refused by name.
 */
import * as z from 'zod';
import { ModelError, messageOf } from '../../../errors.ts';
import type { Activation, Layer, Lookup } from '../layers.ts';
import { type Bundle, openBundle } from './bundle.ts';
import { type ServingConstants, servingConstants, type Table } from './graph.ts';
import { messages, textField } from './proto.ts';
import { unzipSavedModel } from './zip.ts';

/** `keras.backend.epsilon()`: the least that Normalization divides by. */
const KERAS_EPSILON = Math.fround(1e-7);

export interface ImportedLayers {
  layers: Layer[];
  /** Length of an embedding. */
  dim: number;
}

/** Reads the zip of a SavedModel. Throws `ModelError` naming the file, and what in it is not known. */
export function importKerasZip(zip: Uint8Array, file: string): ImportedLayers {
  const { graph, config, index, data } = unzipSavedModel(zip, file);
  try {
    const bundle = openBundle(index, data);
    return buildLayers(layerConfigs(config), bundle, servingConstants(graph));
  } catch (cause) {
    throw new ModelError(`the zip is not a known head: ${messageOf(cause)}`, {
      file,
      cause,
      hint: "Known are chains of MultiCategoryEncoding, Normalization, Dense, ReLU, Dropout and sigmoid, as LAION's detectors are",
    });
  }
}

const layerSchema = z.looseObject({
  class_name: z.string(),
  config: z.looseObject({ name: z.string() }),
  inbound_nodes: z.array(z.array(z.array(z.union([z.string(), z.number(), z.looseObject({})])))),
});
const modelSchema = z.looseObject({
  class_name: z.literal('Functional'),
  config: z.looseObject({ layers: z.array(layerSchema).min(2).max(200) }),
});
type LayerConfig = z.infer<typeof layerSchema>;

/** The chain of layers of the root object; each must follow the one before. */
function layerConfigs(metadata: Uint8Array): LayerConfig[] {
  const root = messages(metadata, 1).find((node) => textField(node, 3) === 'root');
  if (root === undefined) throw new Error('keras_metadata.pb has no root');
  const { layers } = modelSchema.parse(JSON.parse(textField(root, 5))).config;
  for (const [i, layer] of layers.entries()) {
    const from = layer.inbound_nodes.flatMap((node) => node.map(([source]) => source));
    const isNext = i === 0 ? from.length === 0 : from.length === 1 && from[0] === layers[i - 1].config.name;
    if (!isNext) throw new Error(`the layer ${layer.config.name} does not follow the one before it`);
  }
  return layers;
}

const inputSchema = z.object({ batch_input_shape: z.object({ items: z.tuple([z.null(), z.int().min(1)]) }) });
const encodingSchema = z.object({ encoding: z.array(z.enum(['none', 'int'])) });
const normalisationSchema = z.object({ axis: z.object({ items: z.tuple([z.literal(-1)]) }) });
const denseSchema = z.object({ units: z.int().min(1), use_bias: z.boolean(), activation: z.string() });
const reluSchema = z.object({
  max_value: z.null(),
  negative_slope: z.literal(0),
  threshold: z.literal(0),
});
const activationSchema = z.object({ activation: z.string() });

function buildLayers(configs: LayerConfig[], bundle: Bundle, constants: ServingConstants): ImportedLayers {
  const [input, ...chain] = configs;
  if (input.class_name !== 'InputLayer') throw new Error(`it begins with a ${input.class_name}`);
  const dim = inputSchema.parse(input.config).batch_input_shape.items[1];
  const layers: Layer[] = [];
  // The checkpoint counts the layers that have something to store.
  let stored = 0;
  const variable = (name: string) =>
    bundle.floats(`layer_with_weights-${stored}/${name}/.ATTRIBUTES/VARIABLE_VALUE`);
  for (const { class_name: kind, config } of chain) {
    if (kind === 'Custom>MultiCategoryEncoding') {
      layers.push({ type: 'encode', lookups: lookupsOf(encodingSchema.parse(config).encoding, constants) });
      // Keras 2.8 stores the (empty) tables of its training with the variables, newer ones do not.
      const path = `layer_with_weights-${stored}/encoding_layers/`;
      if (bundle.names.some((name) => name.startsWith(path))) stored++;
    } else if (kind === 'Normalization') {
      normalisationSchema.parse(config);
      // The graph carries both as constants, which is what Keras runs; the checkpoint has them too.
      const [mean, variance] = [constants.floats[0], constants.floats[1]];
      const scale = variance?.map((value) => Math.max(Math.fround(Math.sqrt(value)), KERAS_EPSILON));
      if (scale === undefined) throw new Error('the graph has no mean and variance');
      layers.push({ type: 'normalise', mean, scale });
      stored++;
    } else if (kind === 'Dense') {
      const { units, use_bias, activation } = denseSchema.parse(config);
      const kernel = variable('kernel');
      if (kernel.shape.length !== 2 || kernel.shape[1] !== units)
        throw new Error(`the layer ${config.name} has a kernel of [${kernel.shape}] for ${units} units`);
      layers.push({
        type: 'dense',
        inputs: kernel.shape[0],
        outputs: units,
        weight: kernel.values,
        ...(use_bias ? { bias: variable('bias').values } : {}),
        activation: activationOf(activation),
      });
      stored++;
    } else if (kind === 'ReLU') {
      reluSchema.parse(config);
      activate(layers, 'relu');
    } else if (kind === 'Activation') {
      activate(layers, activationOf(activationSchema.parse(config).activation));
    } else if (kind !== 'Dropout') {
      throw new Error(`a layer ${kind} is not known`);
    }
  }
  return { layers, dim };
}

/** Gives the last dense layer its activation. */
function activate(layers: Layer[], activation: Activation): void {
  const last = layers.at(-1);
  if (last?.type !== 'dense' || last.activation !== 'linear')
    throw new Error(`${activation} does not follow a Dense layer`);
  layers[layers.length - 1] = { ...last, activation };
}

function activationOf(name: string): Activation {
  if (name === 'linear' || name === 'relu' || name === 'sigmoid' || name === 'softmax') return name;
  throw new Error(`the activation ${name} is not known`);
}

function lookupsOf(encoding: readonly string[], { tables }: ServingConstants): Lookup[] {
  const columns = encoding.flatMap((kind, i) => (kind === 'int' ? [i] : []));
  if (columns.length !== tables.length)
    throw new Error(`${columns.length} components are looked up, in ${tables.length} tables`);
  return columns.map((column, i) => toLookup(column, tables[i]));
}

/** The keys are what `%f` prints of a float32: as millionths they are integers, and compared without any text. */
function toLookup(column: number, { keys, values, otherwise }: Table): Lookup {
  const entries = keys.map((text, i): [number, number] => {
    const match = /^(-?)(\d{1,3})\.(\d{6})$/.exec(text);
    const key = match === null ? Number.NaN : Number(`${match[1]}${match[2]}${match[3]}`);
    if (!Number.isInteger(key) || Object.is(key, -0))
      throw new Error(`component ${column} is looked up under ${JSON.stringify(text.slice(0, 40))}`);
    return [key, values[i]];
  });
  entries.sort(([a], [b]) => a - b);
  return {
    column,
    keys: Int32Array.from(entries, ([key]) => key),
    values: Int32Array.from(entries, ([, value]) => value),
    otherwise,
  };
}
