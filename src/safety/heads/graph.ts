/** The matrix products of a head as an ONNX graph that carries its weights. */
import { Graph } from '../../onnx/graph.ts';
import type { Head } from './head.ts';
import type { Layer } from './layers.ts';
import { outputWidth } from './layers.ts';

const OPS = { relu: 'Relu', sigmoid: 'Sigmoid' } as const;

/**
 * The longest run of normalisation and dense layers, from the first dense one's normalisation on: `rows`
 * `[n, width]` in, `values` out. `undefined` where there is no dense layer.
 */
export function headGraph(head: Head): { bytes: Uint8Array; start: number; end: number } | undefined {
  const { layers, info } = head;
  const start = layers.findIndex(isProduct);
  if (start < 0) return undefined;
  let end = start;
  while (end < layers.length && isProduct(layers[end])) end++;
  let width = info.space.dim;
  for (const layer of layers.slice(0, start)) width = outputWidth(layer, width);
  const graph = new Graph(`head_${info.name}`, '');
  let value = graph.input('rows', 'float32', ['n', width]);
  for (let i = start; i < end; i++) {
    value = addLayer(graph, value, layers[i], `layers.${i}`);
    width = outputWidth(layers[i], width);
  }
  graph.output('values', value, 'float32', ['n', width]);
  return { bytes: graph.finish(), start, end };
}

function isProduct(layer: Layer): boolean {
  return layer.type === 'dense' || layer.type === 'normalise';
}

function addLayer(graph: Graph, value: string, layer: Layer, at: string): string {
  if (layer.type === 'normalise') {
    const { mean, scale, gamma, beta } = layer;
    const vector = (name: string, values: Float32Array) =>
      graph.floats(`${at}.${name}`, [values.length], values);
    let out = graph.node('Sub', [value, vector('mean', mean)]);
    out = graph.node('Div', [out, vector('scale', scale)]);
    if (gamma !== undefined) out = graph.node('Mul', [out, vector('gamma', gamma)]);
    return beta === undefined ? out : graph.node('Add', [out, vector('beta', beta)]);
  }
  if (layer.type !== 'dense') return value;
  const { inputs, outputs, weight, bias, activation } = layer;
  let out = graph.node('MatMul', [value, graph.floats(`${at}.weight`, [inputs, outputs], weight)]);
  if (bias !== undefined) out = graph.node('Add', [out, graph.floats(`${at}.bias`, [outputs], bias)]);
  if (activation === 'softmax') return graph.node('Softmax', [out], { axis: -1 });
  return activation === 'linear' ? out : graph.node(OPS[activation], [out]);
}
