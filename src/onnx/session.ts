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

/** Makes sessions over one weights file. */
export interface SessionFactory {
  /** The name by which a graph's external data refers to the weights file. */
  readonly location: string;
  /** The execution provider, as it goes into `run.json`: `cpu`, `cuda`, `wasm`, … */
  readonly provider: string;
  /** Loads a graph. Throws `ModelError` where the runtime refuses it or the weights cannot be reached. */
  create(graph: Uint8Array): Promise<Session>;
}
