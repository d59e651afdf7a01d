/** The image tower as an ONNX graph, after open_clip's `VisionTransformer`. */
import { Graph, reshaped } from '../../onnx/graph.ts';
import type { AttentionForm } from '../../onnx/session.ts';
import type { ClipConfig } from '../config.ts';
import { type BlockContext, block, layerNorm, type Pool } from './block.ts';
import type { Linear } from './linear.ts';
import type { Weights } from './weights.ts';

/**
 * Input `pixels` float32 `[n, 3, S, S]`, output `embedding` float32 `[n, dim]`, not normalised.
 * `location` is the name of the weights file; throws `ModelError` where a tensor is missing or misshapen.
 */
export function imageTower(
  config: ClipConfig,
  weights: Weights,
  linear: Linear,
  location: string,
  form: AttentionForm = 'fused',
): Uint8Array {
  const { imageSize: side, patchSize: patch, width, layers, heads, mlpWidth } = config.vision;
  const grid = side / patch;
  const tokens = grid * grid + 1;
  const graph = new Graph('clip-image', location);
  const pixels = graph.input('pixels', 'float32', ['n', 3, side, side]);

  // Patches by reshape and transpose rather than Conv: one Gemm, and the same graph loads in every runtime.
  const cut = graph.node('Reshape', [pixels, graph.ints([-1, 3, grid, patch, grid, patch])]);
  const turned = graph.node('Transpose', [cut], { perm: [0, 2, 4, 1, 3, 5] });
  const flat = graph.node('Reshape', [turned, graph.ints([-1, 3 * patch * patch])]);
  const conv = weights.get('visual.conv1.weight', [width, 3, patch, patch]);
  const embedded = linear(graph, flat, {
    name: 'visual.conv1',
    weight: reshaped(conv, [width, 3 * patch * patch]),
    transposed: true,
  });
  const patches = graph.node('Reshape', [embedded, graph.ints([-1, grid * grid, width])]);

  const count = graph.node('Shape', [pixels], { start: 0, end: 1 });
  const classShape = graph.node('Concat', [count, graph.ints([1, width])], { axis: 0 });
  const classWeight = weights.get('visual.class_embedding', [width]);
  const classToken = graph.node('Expand', [graph.weight(classWeight), classShape]);
  const joined = graph.node('Concat', [classToken, patches], { axis: 1 });
  const positions = graph.weight(weights.get('visual.positional_embedding', [tokens, width]));
  const placed = graph.node('Add', [joined, positions]);
  let x = graph.node('Reshape', [placed, graph.ints([-1, width])]);
  x = layerNorm(graph, weights, x, 'visual.ln_pre', width);

  const tokensShape = graph.ints([-1, tokens, width]);
  const shape = { width, heads, mlpWidth, quickGelu: config.quickGelu, causal: false };
  const context: BlockContext = { graph, weights, linear, shape, tokensShape, form };
  const pool: Pool = {
    pick: (flatTokens) =>
      graph.node('Gather', [graph.node('Reshape', [flatTokens, tokensShape]), graph.int(0)], { axis: 1 }),
  };
  for (let layer = 0; layer < layers; layer++) {
    x = block(context, x, `visual.transformer.resblocks.${layer}`, layer === layers - 1 ? pool : undefined);
  }
  x = layerNorm(graph, weights, x, 'visual.ln_post', width);
  const embedding = linear(graph, x, {
    name: 'visual.proj',
    weight: weights.get('visual.proj', [width, config.embedDim]),
    transposed: false,
  });
  graph.output('embedding', embedding, 'float32', ['n', config.embedDim]);
  return graph.finish();
}
