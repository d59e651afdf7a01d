/** Attention over the heads, in the form that the provider has kernels for. */
import { MICROSOFT, type Value } from '../../onnx/graph.ts';
import type { BlockContext, Pool } from './block.ts';

export interface Attended {
  /** `[n, queries, width]`. */
  query: Value;
  /** `[n, tokens, width]`. */
  key: Value;
  value: Value;
}

/**
 * softmax(q·kᵀ / √d)·v in each head; the answer `[n·queries, width]`. `pool` says that the query is of the pooled tokens
 * alone, and how many keys each of them sees.
 */
export function attend(context: BlockContext, { query, key, value }: Attended, pool?: Pool): Value {
  const { graph, shape, form } = context;
  const { width, heads, causal } = shape;
  const flat = graph.ints([-1, width]);
  if (form === 'plain') {
    const mask = pool === undefined ? context.mask : pool.mask;
    return graph.node('Reshape', [plain(context, { query, key, value }, mask), flat]);
  }
  const inputs = [query, key, value];
  if (pool?.visible !== undefined) inputs.push('', pool.visible);
  const attributes = { num_heads: heads, unidirectional: causal && pool === undefined ? 1 : 0 };
  return graph.node('Reshape', [graph.node('MultiHeadAttention', inputs, attributes, MICROSOFT), flat]);
}

/** `[n, queries, heads, width / heads]`. */
function plain({ graph, shape }: BlockContext, { query, key, value }: Attended, mask?: Value): Value {
  const size = shape.width / shape.heads;
  const split = (x: Value, perm: number[]): Value => {
    const heads = graph.node('Reshape', [x, graph.ints([0, 0, shape.heads, size])]);
    return graph.node('Transpose', [heads], { perm });
  };
  const products = graph.node('MatMul', [split(query, [0, 2, 1, 3]), split(key, [0, 2, 3, 1])]);
  let scores = graph.node('Mul', [products, graph.float(1 / Math.sqrt(size))]);
  if (mask !== undefined) scores = graph.node('Add', [scores, mask]);
  const shares = graph.node('Softmax', [scores], { axis: -1 });
  const mixed = graph.node('MatMul', [shares, split(value, [0, 2, 1, 3])]);
  return graph.node('Transpose', [mixed], { perm: [0, 2, 1, 3] });
}
