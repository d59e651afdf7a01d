/** The classifier as an ONNX graph: MobileNetV2 with every batch normalisation folded into its convolution. */
import { Graph, type Value } from '../../onnx/graph.ts';
import { BLOCKS, DENSE, EPSILON, FIRST, LAST, NSFWJS_SIDE } from './architecture.ts';
import type { NsfwjsWeights } from './weights.ts';

/** What a convolution is beside its weights. */
interface Conv {
  name: string;
  /** Its batch normalisation. */
  norm: string;
  input: number;
  output: number;
  kernel: 1 | 3;
  stride: 1 | 2;
  /** Each channel alone. */
  depthwise?: boolean;
}

/**
 * Input `pixels` float32 `[n, 3, 224, 224]`, 0–1; output `probabilities` float32 `[n, 5]`. The weights lie in the graph
 * itself (9 MB as float32). Throws `ModelError` where a tensor is missing or misshapen.
 */
export function nsfwjsGraph(weights: NsfwjsWeights): Uint8Array {
  const graph = new Graph('nsfwjs', '');
  const net = new Net(graph, weights);
  let x = graph.input('pixels', 'float32', ['n', 3, NSFWJS_SIDE, NSFWJS_SIDE]);
  x = net.relu6(
    net.conv(x, { name: 'Conv1', norm: 'bn_Conv1', input: 3, output: FIRST, kernel: 3, stride: 2 }),
  );
  let channels = FIRST;
  for (const { name, input, middle, output, stride, expands, adds } of BLOCKS) {
    const part = (role: string) => ({ name: `${name}_${role}`, norm: `${name}_${role}_BN` });
    let y = x;
    if (expands)
      y = net.relu6(net.conv(y, { ...part('expand'), input, output: middle, kernel: 1, stride: 1 }));
    const depthwise = {
      ...part('depthwise'),
      input: middle,
      output: middle,
      stride,
      depthwise: true,
    } as const;
    y = net.relu6(net.conv(y, { ...depthwise, kernel: 3 }));
    y = net.conv(y, { ...part('project'), input: middle, output, kernel: 1, stride: 1 });
    x = adds ? graph.node('Add', [x, y]) : y;
    channels = output;
  }
  x = net.conv(x, { name: 'Conv_1', norm: 'Conv_1_bn', input: channels, output: LAST, kernel: 1, stride: 1 });
  // Keras averages by a 7 × 7 pool, which is the whole plane.
  x = graph.node('GlobalAveragePool', [net.relu6(x)]);
  x = graph.node('Flatten', [x], { axis: 1 });
  let width: number = LAST;
  for (const [i, units] of DENSE.entries()) {
    x = net.dense(x, `dense_${i + 1}`, width, units);
    x = i < DENSE.length - 1 ? graph.node('Relu', [x]) : graph.node('Softmax', [x], { axis: 1 });
    width = units;
  }
  weights.finish();
  graph.output('probabilities', x, 'float32', ['n', width]);
  return graph.finish();
}

class Net {
  readonly #graph: Graph;
  readonly #weights: NsfwjsWeights;

  constructor(graph: Graph, weights: NsfwjsWeights) {
    this.#graph = graph;
    this.#weights = weights;
  }

  relu6(x: Value): Value {
    return this.#graph.node('Clip', [x, this.#graph.float(0), this.#graph.float(6)]);
  }

  conv(x: Value, { name, norm, input, output, kernel, stride, depthwise = false }: Conv): Value {
    const taps = kernel * kernel;
    const perFilter = depthwise ? 1 : input;
    // Keras: [y, x, in, out], and [y, x, channel, 1] where channels stay apart.
    const stored = depthwise
      ? this.#weights.get(`${name}/depthwise_kernel`, [kernel, kernel, input, 1])
      : this.#weights.get(`${name}/kernel`, [kernel, kernel, input, output]);
    const { scale, shift } = this.#normalisation(norm, output);
    const folded = new Float32Array(output * perFilter * taps);
    for (let o = 0; o < output; o++) {
      for (let i = 0; i < perFilter; i++) {
        for (let tap = 0; tap < taps; tap++) {
          const from = depthwise ? tap * input + o : (tap * input + i) * output + o;
          folded[(o * perFilter + i) * taps + tap] = stored[from] * scale[o];
        }
      }
    }
    const kernels = this.#graph.floats(name, [output, perFilter, kernel, kernel], folded);
    const bias = this.#graph.floats(norm, [output], shift);
    return this.#graph.node('Conv', [x, kernels, bias], {
      kernel_shape: [kernel, kernel],
      strides: [stride, stride],
      // Where it halves, Keras pads below and to the right only.
      pads: kernel === 1 ? [0, 0, 0, 0] : stride === 2 ? [0, 0, 1, 1] : [1, 1, 1, 1],
      group: depthwise ? input : 1,
    });
  }

  dense(x: Value, name: string, input: number, output: number): Value {
    const kernel = this.#graph.floats(
      `${name}/kernel`,
      [input, output],
      this.#weights.get(`${name}/kernel`, [input, output]),
    );
    const bias = this.#graph.floats(`${name}/bias`, [output], this.#weights.get(`${name}/bias`, [output]));
    return this.#graph.node('Gemm', [x, kernel, bias]);
  }

  /** `gamma * (v - mean) / sqrt(variance + epsilon) + beta` as `v * scale + shift`. */
  #normalisation(name: string, channels: number): { scale: Float64Array; shift: Float32Array } {
    const [gamma, beta, mean, variance] = ['gamma', 'beta', 'moving_mean', 'moving_variance'].map((part) =>
      this.#weights.get(`${name}/${part}`, [channels]),
    );
    const scale = Float64Array.from(gamma, (g, c) => g / Math.sqrt(variance[c] + EPSILON));
    return { scale, shift: Float32Array.from(beta, (b, c) => b - mean[c] * scale[c]) };
  }
}
