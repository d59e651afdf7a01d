/**
 * A small builder for ONNX graphs: values are names, every node gets one output, weights stay where they are in
 * the safetensors file and are named once however often they are used.
 */
import { ModelError } from '../errors.ts';
import {
  type Attribute,
  type Dim,
  encodeModel,
  type InitializerSpec,
  type NodeSpec,
  ONNX_TYPE,
  type OnnxType,
  type ValueSpec,
} from './proto.ts';
import type { TensorEntry } from './safetensors.ts';

/** The name of a value in a graph. */
export type Value = string;

/** A tensor in the weights file, or some of its rows, seen with a shape of our choosing. */
export interface StoredRef {
  /** For messages and node names; unique for the bytes and shape it stands for. */
  readonly name: string;
  readonly dtype: 'F32' | 'F16' | 'BF16' | 'I8' | 'U8';
  readonly shape: readonly number[];
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** A weight that can be computed with as float32. */
export interface WeightRef extends StoredRef {
  readonly dtype: 'F32' | 'F16' | 'BF16';
}

const TYPES: Record<StoredRef['dtype'], OnnxType> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  I8: 'int8',
  U8: 'uint8',
};
/** Opset 20 has `Gelu`; everything else used here is older. */
const OPSETS = { '': 20, 'com.microsoft': 1 };
/** ONNX Runtime's own operators. */
export const MICROSOFT = 'com.microsoft';

/** A tensor of the table as a weight. Throws `ModelError` for a type the runtimes cannot widen to float32. */
export function weightRef(entry: TensorEntry, file: string): WeightRef {
  const { name, dtype, shape, offset, length } = entry;
  if (dtype !== 'F32' && dtype !== 'F16' && dtype !== 'BF16') {
    throw new ModelError(`the tensor has type ${dtype}; only F32, F16 and BF16 weights can be run`, {
      file,
      tensor: name,
    });
  }
  return { name, dtype, shape, offset, length };
}

/** Rows `[start, end)` of a weight's first axis: still a view of the same file. */
export function rows(weight: WeightRef, start: number, end: number, label: string): WeightRef {
  const [count, ...rest] = weight.shape;
  const stride = weight.length / count;
  return {
    ...weight,
    name: `${weight.name}.${label}`,
    shape: [end - start, ...rest],
    offset: weight.offset + start * stride,
    length: (end - start) * stride,
  };
}

/** The same bytes under another shape. */
export function reshaped(weight: WeightRef, shape: readonly number[]): WeightRef {
  return { ...weight, shape };
}

export class Graph {
  readonly #name: string;
  readonly #location: string;
  readonly #inputs: ValueSpec[] = [];
  readonly #outputs: ValueSpec[] = [];
  readonly #nodes: NodeSpec[] = [];
  readonly #initializers = new Map<string, InitializerSpec>();
  readonly #casts = new Map<string, Value>();
  readonly #halves = new Map<string, Value>();

  /** `location` is what the runtime's adapter knows the weights file by. */
  constructor(name: string, location: string) {
    this.#name = name;
    this.#location = location;
  }

  input(name: string, type: OnnxType, dims: readonly Dim[]): Value {
    this.#inputs.push({ name, type, dims });
    return name;
  }

  output(name: string, value: Value, type: OnnxType, dims: readonly Dim[]): void {
    this.#nodes.push({ op: 'Identity', name, domain: '', inputs: [value], outputs: [name], attributes: {} });
    this.#outputs.push({ name, type, dims });
  }

  node(op: string, inputs: readonly Value[], attributes: Record<string, Attribute> = {}, domain = ''): Value {
    const name = `${op}_${this.#nodes.length}`;
    this.#nodes.push({ op, name, domain, inputs, outputs: [name], attributes });
    return name;
  }

  /** A weight as it is stored, in its own type. */
  stored(weight: StoredRef): Value {
    const name = `${weight.name}[${weight.shape.join(',')}]`;
    if (!this.#initializers.has(name)) {
      const { offset, length } = weight;
      const data = { location: this.#location, offset, length };
      this.#initializers.set(name, { name, type: TYPES[weight.dtype], dims: weight.shape, data });
    }
    return name;
  }

  /** A weight as float32. Half types are widened by a Cast, which runtimes fold once at load; widening is exact. */
  weight(weight: WeightRef): Value {
    const stored = this.stored(weight);
    if (weight.dtype === 'F32') return stored;
    const known = this.#casts.get(stored);
    if (known !== undefined) return known;
    const cast = this.toFloat(stored);
    this.#casts.set(stored, cast);
    return cast;
  }

  /** A weight as float16, rounded by a Cast that runtimes fold once at load, where it is stored otherwise. */
  half(weight: WeightRef): Value {
    const stored = this.stored(weight);
    if (weight.dtype === 'F16') return stored;
    const known = this.#halves.get(stored) ?? this.toHalf(stored);
    this.#halves.set(stored, known);
    return known;
  }

  toFloat(value: Value): Value {
    return this.node('Cast', [value], { to: ONNX_TYPE.float32 });
  }

  toHalf(value: Value): Value {
    return this.node('Cast', [value], { to: ONNX_TYPE.float16 });
  }

  toInt(value: Value, type: 'int32' | 'int64' | 'uint8'): Value {
    return this.node('Cast', [value], { to: ONNX_TYPE[type] });
  }

  /** A vector of 64-bit integers (shapes, axes, indices). */
  ints(values: readonly number[]): Value {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.#constant(`ints[${values.join(',')}]`, 'int64', [values.length], bytes);
  }

  /** One 64-bit integer without a dimension: an index that drops its axis. */
  int(value: number): Value {
    return this.#constant(
      `int(${value})`,
      'int64',
      [],
      new Uint8Array(BigInt64Array.of(BigInt(value)).buffer),
    );
  }

  int32(value: number): Value {
    return this.#constant(`int32(${value})`, 'int32', [], new Uint8Array(Int32Array.of(value).buffer));
  }

  /** A vector of 32-bit integers. */
  int32s(values: readonly number[]): Value {
    const bytes = new Uint8Array(Int32Array.from(values).buffer);
    return this.#constant(`int32s[${values.join(',')}]`, 'int32', [values.length], bytes);
  }

  /** One float without a dimension. */
  float(value: number): Value {
    const data = new Uint8Array(Float32Array.of(value).buffer);
    return this.#constant(`float(${value})`, 'float32', [], data);
  }

  /** One unsigned byte without a dimension: a zero point. */
  byte(value: number): Value {
    return this.#constant(`byte(${value})`, 'uint8', [], Uint8Array.of(value));
  }

  /** A weight that lies in no file: kept in the graph itself. `name` stands for these values only. */
  floats(name: string, dims: readonly number[], values: Float32Array): Value {
    const data = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    return this.#constant(name, 'float32', dims, data);
  }

  /** Bytes that lie in no file. `name` stands for these values only. */
  bytes(name: string, type: 'int8' | 'uint8', dims: readonly number[], data: Uint8Array): Value {
    return this.#constant(name, type, dims, data);
  }

  finish(): Uint8Array {
    return encodeModel({
      name: this.#name,
      inputs: this.#inputs,
      outputs: this.#outputs,
      initializers: [...this.#initializers.values()],
      nodes: this.#nodes,
      opsets: OPSETS,
    });
  }

  #constant(name: string, type: OnnxType, dims: readonly number[], data: Uint8Array): Value {
    if (!this.#initializers.has(name)) this.#initializers.set(name, { name, type, dims, data });
    return name;
  }
}
