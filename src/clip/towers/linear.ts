/**
 * How a linear layer is computed. The towers say what is to be multiplied; a precision says how. fp32 and fp16 are
 * here; another precision is another `Linear`, given the same names, so that scales and quantised weights can be found.
 */
import type { Graph, Value, WeightRef } from '../../onnx/graph.ts';

export interface LinearLayer {
  /** The module in open_clip's state dict, with `.q`, `.k`, `.v` for the rows of `in_proj`. */
  readonly name: string;
  /** `[out, in]` as torch's Linear stores it; `[in, out]` where `transposed` is false. */
  readonly weight: WeightRef;
  readonly bias?: WeightRef;
  /** True for `[out, in]`. */
  readonly transposed: boolean;
}

/** `x` is `[rows, in]` float32; the answer `[rows, out]` float32. */
export type Linear = (graph: Graph, x: Value, layer: LinearLayer) => Value;

/** Gemm over the weights as they lie in the file: `transB` spares a transposed copy. */
export const fp32Linear: Linear = (graph, x, { weight, bias, transposed }) => {
  const inputs = [x, graph.weight(weight)];
  if (bias !== undefined) inputs.push(graph.weight(bias));
  return graph.node('Gemm', inputs, { transB: transposed ? 1 : 0 });
};

/**
 * Products of half floats, for devices that have them in hardware: inputs and weights are rounded to 11 bits, and what
 * comes out is widened. The last projections stay in float32: they are small, and nothing after them evens errors out.
 */
export function fp16Linear(): Linear {
  const halves = new WeakMap<Graph, Map<Value, Value>>();
  return (graph, x, layer) => {
    const { name, weight, bias, transposed } = layer;
    if (PROJECTION.test(name)) return fp32Linear(graph, x, layer);
    const known = halves.get(graph) ?? new Map<Value, Value>();
    halves.set(graph, known);
    // Query, key and value read one input.
    const half = known.get(x) ?? graph.toHalf(x);
    known.set(x, half);
    const inputs = [half, graph.half(weight)];
    if (bias !== undefined) inputs.push(graph.half(bias));
    return graph.toFloat(graph.node('Gemm', inputs, { transB: transposed ? 1 : 0 }));
  };
}

const PROJECTION = /^visual\.proj$|text_projection$/;
