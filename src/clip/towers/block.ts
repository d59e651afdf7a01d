/** One residual attention block, and the norms, as open_clip's `transformer.py` computes them. */
import { type Graph, MICROSOFT, rows, type Value } from '../../onnx/graph.ts';
import type { AttentionForm } from '../../onnx/session.ts';
import { attend } from './attention.ts';
import type { Linear } from './linear.ts';
import type { Weights } from './weights.ts';

export interface BlockShape {
  readonly width: number;
  readonly heads: number;
  readonly mlpWidth: number;
  readonly quickGelu: boolean;
  /** Tokens see only those before them. */
  readonly causal: boolean;
}

/**
 * What a tower hands to its blocks. Between blocks the tokens are `[n·tokens, width]`; attention wants
 * `[n, tokens, width]`.
 */
export interface BlockContext {
  readonly graph: Graph;
  readonly weights: Weights;
  readonly linear: Linear;
  readonly shape: BlockShape;
  /** The shape `[n, tokens, width]` as a value. */
  readonly tokensShape: Value;
  readonly form: AttentionForm;
  /** Where attention is causal and plain: `[tokens, tokens]`, added to the scores. */
  readonly mask?: Value;
}

/** For the last block, of which one token a sample is wanted. */
export interface Pool {
  /** Of `[n·tokens, width]`, the pooled tokens: `[n, width]`. */
  pick(tokens: Value): Value;
  /** int32 `[n]`: how many tokens of each sample the pooled one may see; all of them where absent. */
  readonly visible?: Value;
  /** The same for plain attention: `[n, 1, 1, tokens]`, added to the scores. */
  readonly mask?: Value;
}

/** torch's default; open_clip's configs change it only through `norm_kwargs`, which are refused. */
const EPSILON = 1e-5;
const QUICK_GELU_ALPHA = 1.702;

export function layerNorm(graph: Graph, weights: Weights, x: Value, name: string, width: number): Value {
  const scale = graph.weight(weights.get(`${name}.weight`, [width]));
  const bias = graph.weight(weights.get(`${name}.bias`, [width]));
  return graph.node('LayerNormalization', [x, scale, bias], { axis: -1, epsilon: { float: EPSILON } });
}

/**
 * Tokens `[n·tokens, width]` through one block. With `pool`, only the pooled tokens go on after the keys and
 * values are made, and the answer is `[n, width]`: what the other tokens would become is never read.
 */
export function block(context: BlockContext, x: Value, name: string, pool?: Pool): Value {
  const { graph, weights, shape } = context;
  const normed = layerNorm(graph, weights, x, `${name}.ln_1`, shape.width);
  const attended = attention(context, normed, `${name}.attn`, pool);
  const residual = pool === undefined ? x : pool.pick(x);
  const middle = graph.node('Add', [residual, attended]);
  const inner = mlp(context, layerNorm(graph, weights, middle, `${name}.ln_2`, shape.width), `${name}.mlp`);
  return graph.node('Add', [middle, inner]);
}

function attention(context: BlockContext, normed: Value, name: string, pool: Pool | undefined): Value {
  const { graph, weights, linear, shape, tokensShape } = context;
  const { width } = shape;
  const weight = weights.get(`${name}.in_proj_weight`, [3 * width, width]);
  const bias = weights.get(`${name}.in_proj_bias`, [3 * width]);
  const part = (x: Value, index: number, label: string): Value => {
    const range = [index * width, (index + 1) * width] as const;
    const layer = { weight: rows(weight, ...range, label), bias: rows(bias, ...range, label) };
    return linear(graph, x, { name: `${name}.in_proj.${label}`, transposed: true, ...layer });
  };
  const three = (flat: Value): Value => graph.node('Reshape', [flat, tokensShape]);
  const pooledShape = graph.ints([-1, 1, width]);
  const query =
    pool === undefined
      ? three(part(normed, 0, 'q'))
      : graph.node('Reshape', [part(pool.pick(normed), 0, 'q'), pooledShape]);
  const keys = { key: three(part(normed, 1, 'k')), value: three(part(normed, 2, 'v')) };
  return linear(graph, attend(context, { query, ...keys }, pool), {
    name: `${name}.out_proj`,
    weight: weights.get(`${name}.out_proj.weight`, [width, width]),
    bias: weights.get(`${name}.out_proj.bias`, [width]),
    transposed: true,
  });
}

function mlp(context: BlockContext, x: Value, name: string): Value {
  const { graph, weights, linear, shape, form } = context;
  const { width, mlpWidth, quickGelu } = shape;
  const inner = linear(graph, x, {
    name: `${name}.c_fc`,
    weight: weights.get(`${name}.c_fc.weight`, [mlpWidth, width]),
    bias: weights.get(`${name}.c_fc.bias`, [mlpWidth]),
    transposed: true,
  });
  const active = quickGelu ? quick(graph, inner, form) : graph.node('Gelu', [inner]);
  return linear(graph, active, {
    name: `${name}.c_proj`,
    weight: weights.get(`${name}.c_proj.weight`, [width, mlpWidth]),
    bias: weights.get(`${name}.c_proj.bias`, [width]),
    transposed: true,
  });
}

function quick(graph: Graph, x: Value, form: AttentionForm): Value {
  if (form !== 'plain')
    return graph.node('QuickGelu', [x], { alpha: { float: QUICK_GELU_ALPHA } }, MICROSOFT);
  return graph.node('Mul', [
    x,
    graph.node('Sigmoid', [graph.node('Mul', [x, graph.float(QUICK_GELU_ALPHA)])]),
  ]);
}
