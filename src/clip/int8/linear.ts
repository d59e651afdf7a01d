/** The linear layers in 8 bits, for the towers' graphs. */
import { ModelError } from '../../errors.ts';
import { type Graph, MICROSOFT, type StoredRef, type Value } from '../../onnx/graph.ts';
import type { QuantisedPrecision } from '../precision.ts';
import { fp32Linear, type Linear, type LinearLayer } from '../towers/linear.ts';
import { type QuantisedFile, tensorNames } from './file.ts';
import { isMlpOutput, isOutProjection, isQuantised } from './layers.ts';
import { type ByteSign, UNSIGNED_ZERO } from './probe.ts';
import { type InputScale, spread } from './scales.ts';
import { LEAST_ACTIVATION } from './shift.ts';

/** Divisors of a token stay above this: a token of zeros is divided by it, and stays one. */
const LEAST_DIVISOR = 1e-30;

/**
 * Quantised layers of a file, the others in float32. A float becomes an unsigned byte by a scale that is fixed, or the
 * token's own: never by anything of another token or sample, so that a sample's numbers are its own.
 */
export function int8Linear(
  file: QuantisedFile,
  precision: QuantisedPrecision,
  sign: ByteSign = 'signed',
): Linear {
  const quantised = new WeakMap<Graph, Map<string, Value>>();
  return (graph, x, layer) => {
    if (!isQuantised(layer)) return fp32Linear(graph, x, layer);
    const parts = { ...partsOf(file, layer), sign };
    if (precision === 'int8-accurate' && isMlpOutput(layer.name)) return shifted(graph, x, parts);
    if (precision === 'int8-accurate' && isOutProjection(layer.name)) return symmetric(graph, x, parts);
    const { scale, zero, colours } = parts.input;
    if (colours !== undefined) {
      const [, width] = layer.weight.shape;
      const constant = (name: string, values: readonly number[]) =>
        graph.floats(`${layer.name}.${name}`, [width], spread(values, width));
      x = graph.node('Sub', [x, constant('shift', colours.shift)]);
      x = graph.node('Div', [x, constant('factor', colours.factor)]);
    }
    const known = quantised.get(graph) ?? new Map<string, Value>();
    quantised.set(graph, known);
    // Query, key and value read one input.
    const key = `${x} ${scale} ${zero}`;
    const bytes = known.get(key) ?? graph.node('QuantizeLinear', [x, graph.float(scale), graph.byte(zero)]);
    known.set(key, bytes);
    return product(graph, bytes, scale, zero, parts, parts.bias);
  };
}

interface Parts {
  sign: ByteSign;
  input: InputScale;
  weight: StoredRef;
  scale: StoredRef;
  bias: StoredRef;
  shiftedBias: StoredRef | undefined;
}

/** `bytes` `[rows, in]` times the layer's weights, as float32 `[rows, out]`. */
function product(
  graph: Graph,
  bytes: Value,
  scale: number,
  zero: number,
  parts: Parts,
  bias?: StoredRef,
): Value {
  const isSigned = parts.sign === 'signed';
  const inputs = [
    bytes,
    isSigned ? graph.stored(parts.weight) : unsigned(graph, parts.weight),
    graph.float(scale),
    graph.stored(parts.scale),
    graph.byte(zero),
  ];
  // Signed weights have no zero point.
  if (bias !== undefined || !isSigned) inputs.push(isSigned ? '' : graph.byte(UNSIGNED_ZERO));
  if (bias !== undefined) inputs.push(graph.stored(bias));
  return graph.node('MatMulIntegerToFloat', inputs, {}, MICROSOFT);
}

/** Signed bytes as unsigned ones, moved up: the runtime folds this once, at load. */
function unsigned(graph: Graph, weight: StoredRef): Value {
  const wide = graph.toInt(graph.stored(weight), 'int32');
  return graph.toInt(graph.node('Add', [wide, graph.int32(UNSIGNED_ZERO)]), 'uint8');
}

/** Each token divided by its largest absolute value. */
function symmetric(graph: Graph, x: Value, parts: Parts): Value {
  const largest = graph.node('ReduceMax', [graph.node('Abs', [x]), graph.ints([-1])], { keepdims: 1 });
  return byToken(graph, x, largest, { scale: Math.fround(1 / 127), zero: 128 }, parts, parts.bias);
}

/** Each token moved up until its least possible value is zero, and divided by its greatest. */
function shifted(graph: Graph, x: Value, parts: Parts): Value {
  const moved = graph.node('Sub', [x, graph.float(LEAST_ACTIVATION)]);
  const largest = graph.node('ReduceMax', [moved, graph.ints([-1])], { keepdims: 1 });
  return byToken(graph, moved, largest, { scale: Math.fround(1 / 255), zero: 0 }, parts, parts.shiftedBias);
}

function byToken(
  graph: Graph,
  x: Value,
  largest: Value,
  { scale, zero }: { scale: number; zero: number },
  parts: Parts,
  bias: StoredRef | undefined,
): Value {
  const divisor = graph.node('Max', [largest, graph.float(LEAST_DIVISOR)]);
  const unit = graph.node('Div', [x, divisor]);
  const bytes = graph.node('QuantizeLinear', [unit, graph.float(scale), graph.byte(zero)]);
  const scaled = graph.node('Mul', [product(graph, bytes, scale, zero, parts), divisor]);
  return bias === undefined ? scaled : graph.node('Add', [scaled, graph.stored(bias)]);
}

/** Throws `ModelError` where the file lacks the layer, or holds it in another shape. */
function partsOf({ table, inputs }: QuantisedFile, layer: LinearLayer): Omit<Parts, 'sign'> {
  const names = tensorNames(layer.name);
  const [outs, width] = layer.weight.shape;
  const get = (name: string, dtype: 'I8' | 'F32', shape: readonly number[]): StoredRef => {
    const entry = table.tensors.get(name);
    if (entry?.dtype !== dtype || entry.shape.join() !== shape.join()) throw lacking(table.file, name);
    return { name, dtype, shape, offset: entry.offset, length: entry.length };
  };
  const input = inputs.get(layer.name);
  if (input === undefined) throw lacking(table.file, layer.name);
  return {
    input,
    weight: get(names.weight, 'I8', [width, outs]),
    scale: get(names.scale, 'F32', [outs]),
    bias: get(names.bias, 'F32', [outs]),
    shiftedBias: isMlpOutput(layer.name) ? get(names.shiftedBias, 'F32', [outs]) : undefined,
  };
}

function lacking(file: string, tensor: string): ModelError {
  return new ModelError('the quantised checkpoint lacks a layer of this model', {
    file,
    tensor,
    hint: 'Remove the file: it is made again',
  });
}
