/**
 * A head as one safetensors file. The JSON description lies in the header's `__metadata__` under `shardsieve_head`,
 * layers included; the tensors are called `layers.<i>.<name>`. Reading it runs nothing that it holds.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import * as z from 'zod';
import { ModelError, messageOf } from '../../errors.ts';
import { type RangedBytes, readSafetensors, type TensorEntry } from '../../onnx/safetensors.ts';
import { encodeSafetensors, type NamedTensor } from '../../onnx/safetensors-write.ts';
import { checkHead, type Head, issueError } from './head.ts';
import type { Layer } from './layers.ts';

const METADATA_KEY = 'shardsieve_head';
/** LAION's largest head, H/14, has 21 MB; DataComp's 1 MB. */
export const MAX_HEAD_BYTES = 256 * 2 ** 20;

const size = z.int().min(1).max(1_000_000);
const range = z.strictObject({ start: z.int().min(0), end: z.int().min(1) });
const layerSchema = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('encode'),
    lookups: z.array(z.strictObject({ column: z.int().min(0), otherwise: z.int() })),
  }),
  z.strictObject({ type: z.literal('normalise') }),
  z.strictObject({
    type: z.literal('dense'),
    inputs: size,
    outputs: size,
    activation: z.enum(['linear', 'relu', 'sigmoid', 'softmax']),
  }),
  z.strictObject({
    type: z.literal('concepts'),
    scale: z.number(),
    concepts: z.array(range).min(1),
    neutral: range,
  }),
  z.strictObject({ type: z.literal('argmax'), index: z.int().min(0) }),
  z.strictObject({ type: z.literal('isotonic') }),
]);
type LayerSpec = z.infer<typeof layerSchema>;
const headSchema = z.looseObject({ layers: z.array(layerSchema).min(1).max(100) });

/** The file's bytes; the same head gives the same bytes. */
export function encodeHead(head: Head): Uint8Array<ArrayBuffer> {
  const tensors: NamedTensor[] = [];
  const layers = head.layers.map((layer, i) => describe(layer, `layers.${i}`, tensors));
  const json = JSON.stringify({ ...head.info, layers });
  return encodeSafetensors(tensors, { format: 'shardsieve-head', [METADATA_KEY]: json });
}

/** Reads and checks a head. Throws `ModelError` naming file, field and tensor. */
export async function readHead(file: RangedBytes): Promise<Head> {
  if (file.size > MAX_HEAD_BYTES) {
    throw new ModelError(`the head has ${file.size} bytes, more than ${MAX_HEAD_BYTES}`, { file: file.name });
  }
  const table = await readSafetensors(file, 'head');
  const text = table.metadata[METADATA_KEY];
  if (text === undefined) {
    throw new ModelError('the file is safetensors, but no head of Shardsieve’s', {
      file: file.name,
      hint: `Its header has no ${METADATA_KEY}: import it first, shardsieve heads import FILE --out HEAD`,
    });
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new ModelError(`the head's description is not JSON: ${messageOf(cause)}`, {
      file: file.name,
      cause,
    });
  }
  const parsed = headSchema.safeParse(json);
  if (!parsed.success) throw issueError(parsed.error, file.name);
  const { layers: specs, ...info } = parsed.data;
  const take = new TensorReader(file, table.tensors);
  const layers: Layer[] = [];
  for (const [i, spec] of specs.entries()) layers.push(await restore(spec, `layers.${i}`, take));
  take.finish();
  return checkHead({ info, layers }, file.name);
}

function describe(layer: Layer, at: string, tensors: NamedTensor[]): LayerSpec {
  const put = (name: string, data: Float32Array | Int32Array | undefined, shape?: number[]): void => {
    if (data !== undefined) tensors.push({ name: `${at}.${name}`, shape: shape ?? [data.length], data });
  };
  switch (layer.type) {
    case 'encode':
      for (const [i, { keys, values }] of layer.lookups.entries()) {
        put(`lookups.${i}.keys`, keys);
        put(`lookups.${i}.values`, values);
      }
      return {
        type: 'encode',
        lookups: layer.lookups.map(({ column, otherwise }) => ({ column, otherwise })),
      };
    case 'normalise':
      for (const name of ['mean', 'scale', 'gamma', 'beta'] as const) put(name, layer[name]);
      return { type: 'normalise' };
    case 'dense': {
      const { inputs, outputs, activation } = layer;
      put('weight', layer.weight, [inputs, outputs]);
      put('bias', layer.bias);
      return { type: 'dense', inputs, outputs, activation };
    }
    case 'isotonic':
      put('x', layer.x);
      put('y', layer.y);
      return { type: 'isotonic' };
    default:
      return layer;
  }
}

async function restore(spec: LayerSpec, at: string, take: TensorReader): Promise<Layer> {
  switch (spec.type) {
    case 'encode': {
      const lookups = [];
      for (const [i, lookup] of spec.lookups.entries()) {
        const keys = await take.ints(`${at}.lookups.${i}.keys`);
        lookups.push({ ...lookup, keys, values: await take.ints(`${at}.lookups.${i}.values`) });
      }
      return { type: 'encode', lookups };
    }
    case 'normalise': {
      const gamma = await take.optional(`${at}.gamma`);
      const beta = await take.optional(`${at}.beta`);
      return {
        type: 'normalise',
        mean: await take.floats(`${at}.mean`),
        scale: await take.floats(`${at}.scale`),
        ...(gamma === undefined ? {} : { gamma }),
        ...(beta === undefined ? {} : { beta }),
      };
    }
    case 'dense': {
      const bias = await take.optional(`${at}.bias`);
      return { ...spec, weight: await take.floats(`${at}.weight`), ...(bias === undefined ? {} : { bias }) };
    }
    case 'isotonic':
      return { type: 'isotonic', x: await take.floats(`${at}.x`), y: await take.floats(`${at}.y`) };
    default:
      return spec;
  }
}

/** Takes tensors by name, and knows what nobody took: a tensor without a layer is a mistake, not a detail. */
class TensorReader {
  readonly #file: RangedBytes;
  readonly #left: Map<string, TensorEntry>;

  constructor(file: RangedBytes, tensors: ReadonlyMap<string, TensorEntry>) {
    this.#file = file;
    this.#left = new Map(tensors);
  }

  async floats(name: string): Promise<Float32Array> {
    return new Float32Array(await this.#bytes(name, 'F32'));
  }

  async ints(name: string): Promise<Int32Array> {
    return new Int32Array(await this.#bytes(name, 'I32'));
  }

  async optional(name: string): Promise<Float32Array | undefined> {
    return this.#left.has(name) ? this.floats(name) : undefined;
  }

  finish(): void {
    const [name] = this.#left.keys();
    if (name !== undefined) throw this.#fail('a tensor belongs to no layer', name);
  }

  async #bytes(name: string, dtype: 'F32' | 'I32'): Promise<ArrayBuffer> {
    const entry = this.#left.get(name);
    if (entry === undefined) throw this.#fail('a tensor is missing', name);
    if (entry.dtype !== dtype) throw this.#fail(`a tensor is ${entry.dtype}, not ${dtype}`, name);
    this.#left.delete(name);
    const bytes = await this.#file.slice(entry.offset, entry.offset + entry.length);
    // A copy: the slice may begin anywhere in a larger buffer.
    return new Uint8Array(bytes).buffer;
  }

  #fail(problem: string, tensor: string): ModelError {
    return new ModelError(`the head is damaged: ${problem}`, {
      file: this.#file.name,
      tensor: tensor.slice(0, 120),
      hint: 'Make or pull the head again',
    });
  }
}

/** Hex SHA-256 of the head's file: two heads with the same one give the same numbers. */
export function headSha256(head: Head): string {
  return bytesToHex(sha256(encodeHead(head)));
}
