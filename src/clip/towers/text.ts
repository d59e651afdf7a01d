/** The text tower as an ONNX graph, after open_clip's `TextTransformer`, for captions of any length. */
import { Graph } from '../../onnx/graph.ts';
import type { ClipConfig } from '../config.ts';
import { type BlockContext, block, layerNorm, type Pool } from './block.ts';
import type { Linear } from './linear.ts';
import type { Weights } from './weights.ts';

/**
 * Inputs `ids` int32 `[n, t]` and `end` int32 `[n]`, the index of the end-of-text token in each row; `t` is any
 * length up to the context. Output `embedding` float32 `[n, dim]`, not normalised. Attention is causal, so what
 * stands after `end` changes nothing and `t` need only reach the longest caption's end.
 */
export function textTower(
  config: ClipConfig,
  weights: Weights,
  linear: Linear,
  location: string,
): Uint8Array {
  const { contextLength, vocabSize, width, layers, heads, mlpWidth } = config.text;
  const prefix = weights.textPrefix;
  const graph = new Graph('clip-text', location);
  const ids = graph.input('ids', 'int32', ['n', 't']);
  const end = graph.input('end', 'int32', ['n']);

  // The table is by far the largest tensor: rows are looked up first and widened afterwards.
  const table = weights.get(`${prefix}token_embedding.weight`, [vocabSize, width]);
  const found = graph.node('Gather', [graph.stored(table), ids], { axis: 0 });
  const embedded = table.dtype === 'F32' ? found : graph.toFloat(found);
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
  const context: BlockContext = { graph, weights, linear, shape, tokensShape };
  const indices = graph.node('Unsqueeze', [graph.toInt(end, 'int64'), graph.ints([1])]);
  const pool: Pool = {
    pick: (flat) =>
      graph.node('GatherND', [graph.node('Reshape', [flat, tokensShape]), indices], { batch_dims: 1 }),
    visible: graph.node('Add', [end, graph.int32(1)]),
  };
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
