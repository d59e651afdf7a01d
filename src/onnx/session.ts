/**
 * What the rooms above know of an inference runtime. onnxruntime-node and onnxruntime-web fill it, each bound to
 * one weights file by its own means.
 */

export type Tensor =
  | { readonly type: 'float32'; readonly dims: readonly number[]; readonly data: Float32Array }
  | { readonly type: 'int64'; readonly dims: readonly number[]; readonly data: BigInt64Array }
  | { readonly type: 'int32'; readonly dims: readonly number[]; readonly data: Int32Array };

/** One graph, ready to run. */
export interface Session {
  /**
   * Runs once. Feeds are not changed and not kept; the answers belong to the caller. Calls may overlap.
   * Throws `ModelError` where the runtime refuses.
   */
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor>>;
  /** Frees the runtime's memory. Safe to call twice; `run` fails afterwards. */
  release(): Promise<void>;
}

/**
 * How attention is written for a provider: `fused`, ONNX Runtime's own node, as its CPU code computes it right; `plain`,
 * ONNX's own operators, and no index of 64 bits outside shapes. WebGPU's kernels for the node cannot be told how many keys
 * a row sees, and moved embeddings of pictures by up to 0.0035 (onnxruntime-node 1.30, SwiftShader).
 */
export type AttentionForm = 'fused' | 'plain';

/** Makes sessions over one weights file. */
export interface SessionFactory {
  /** The name by which a graph's external data refers to the weights file. */
  readonly location: string;
  /** The execution provider, as it goes into `run.json`: `cpu`, `cuda`, `wasm`, … */
  readonly provider: string;
  /** What the provider has kernels for; `fused` where absent, as on a CPU. */
  readonly attention?: AttentionForm;
  /** Loads a graph. Throws `ModelError` where the runtime refuses it or the weights cannot be reached. */
  create(graph: Uint8Array): Promise<Session>;
}
