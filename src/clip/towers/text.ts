/** The text tower as an ONNX graph, after open_clip's `TextTransformer`, for captions of any length. */
import { Graph, type Value } from '../../onnx/graph.ts';
import type { AttentionForm } from '../../onnx/session.ts';
import type { ClipConfig } from '../config.ts';
import { type BlockContext, block, layerNorm, type Pool } from './block.ts';
import type { Linear } from './linear.ts';
import type { Weights } from './weights.ts';

/** Token ids int32 `[n, t]` to their embeddings float32 `[n, t, width]`. */
export type LookUp = (graph: Graph, ids: Value) => Value;

/**
 * Inputs `ids` int32 `[n, t]` and `end` int32 `[n]`, the index of the end-of-text token in each row; `t` is any
 * length up to the context. Output `embedding` float32 `[n, dim]`, not normalised. Attention is causal, so what
 * stands after `end` changes nothing and `t` need only reach the longest caption's end. `lookUp` stands for the
 * checkpoint's own table.
 */
export function textTower(
  config: ClipConfig,
  weights: Weights,
  linear: Linear,
  location: string,
  form: AttentionForm = 'fused',
  lookUp?: LookUp,
): Uint8Array {
  const { contextLength, vocabSize, width, layers, heads, mlpWidth } = config.text;
  const prefix = weights.textPrefix;
  const graph = new Graph('clip-text', location);
  const ids = graph.input('ids', 'int32', ['n', 't']);
  const end = graph.input('end', 'int32', ['n']);

  const isPlain = form === 'plain';
  const table = weights.get(`${prefix}token_embedding.weight`, [vocabSize, width]);
  // The table is by far the largest tensor: rows are looked up first and widened afterwards. Not every GPU has half
  // floats, so there it is widened whole.
  const stored: LookUp = () => {
    const found = graph.node('Gather', [isPlain ? graph.weight(table) : graph.stored(table), ids], {
      axis: 0,
    });
    return isPlain || table.dtype === 'F32' ? found : graph.toFloat(found);
  };
  const embedded = (lookUp ?? stored)(graph, ids);
  const idsShape = graph.node('Shape', [ids]);
  const length = graph.node('Shape', [ids], { start: 1, end: 2 });
  const positions = graph.weight(weights.get(`${prefix}positional_embedding`, [contextLength, width]));
  const placed = graph.node('Add', [
    embedded,
    graph.node('Slice', [positions, graph.ints([0]), length, graph.ints([0])]),
  ]);
  let x = graph.node('Reshape', [placed, graph.ints([-1, width])]);

  const tokensShape = graph.node('Concat', [idsShape, graph.ints([width])], { axis: 0 });
  const shape = { width, heads, mlpWidth, quickGelu: config.quickGelu, causal: true };
  const mask = isPlain ? causalMask(graph, contextLength, length) : undefined;
  const context: BlockContext = { graph, weights, linear, shape, tokensShape, form, mask };
  const places = (): Value => {
    const all = graph.int32s(Array.from({ length: contextLength }, (_, i) => i));
    return graph.node('Slice', [all, graph.ints([0]), length, graph.ints([0])]);
  };
  const pool = isPlain
    ? plainEndOfText(graph, end, tokensShape, places())
    : endOfText(graph, end, tokensShape);
  for (let layer = 0; layer < layers; layer++) {
    x = block(context, x, `${prefix}transformer.resblocks.${layer}`, layer === layers - 1 ? pool : undefined);
  }
  x = layerNorm(graph, weights, x, `${prefix}ln_final`, width);
  const embedding = linear(graph, x, {
    name: `${prefix}text_projection`,
    weight: weights.get(`${prefix}text_projection`, [width, config.embedDim]),
    transposed: false,
  });
  graph.output('embedding', embedding, 'float32', ['n', config.embedDim]);
  return graph.finish();
}

/** Reads the token at `end`, which sees those up to it. */
function endOfText(graph: Graph, end: Value, tokensShape: Value): Pool {
  const indices = graph.node('Unsqueeze', [graph.toInt(end, 'int64'), graph.ints([1])]);
  return {
    pick: (flat) =>
      graph.node('GatherND', [graph.node('Reshape', [flat, tokensShape]), indices], { batch_dims: 1 }),
    visible: graph.node('Add', [end, graph.int32(1)]),
  };
}

/** What attention adds where a token must not look; its exponential is nought in every float type. */
const UNSEEN = -1e4;

/**
 * The same where kernels have no 64-bit indices: each token times one or nought, summed, which is exact. `places` is
 * int32 `[tokens]`, counted from 0.
 */
function plainEndOfText(graph: Graph, end: Value, tokensShape: Value, places: Value): Pool {
  const ends = graph.node('Unsqueeze', [end, graph.ints([1])]);
  const chosen = graph.node('Unsqueeze', [
    graph.toFloat(graph.node('Equal', [places, ends])),
    graph.ints([2]),
  ]);
  const isAfter = graph.toFloat(graph.node('Greater', [places, ends]));
  const mask = graph.node('Mul', [isAfter, graph.float(UNSEEN)]);
  return {
    pick: (flat) => {
      const kept = graph.node('Mul', [graph.node('Reshape', [flat, tokensShape]), chosen]);
      return graph.node('ReduceSum', [kept, graph.ints([1])], { keepdims: 0 });
    },
    mask: graph.node('Unsqueeze', [mask, graph.ints([1, 2])]),
  };
}

/** `[tokens, tokens]`, from a table for the whole context. */
function causalMask(graph: Graph, contextLength: number, length: Value): Value {
  const table = new Float32Array(contextLength * contextLength);
  for (let row = 0; row < contextLength; row++) {
    table.fill(UNSEEN, row * contextLength + row + 1, (row + 1) * contextLength);
  }
  const whole = graph.floats('causal', [contextLength, contextLength], table);
  const ends = graph.node('Concat', [length, length], { axis: 0 });
  return graph.node('Slice', [whole, graph.ints([0, 0]), ends, graph.ints([0, 1])]);
}
