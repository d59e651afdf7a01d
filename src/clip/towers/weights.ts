/** The tensors of an open_clip checkpoint by the names its modules give them, checked against the config. */
import { ModelError } from '../../errors.ts';
import { type WeightRef, weightRef } from '../../onnx/graph.ts';
import type { TensorTable } from '../../onnx/safetensors.ts';

/** Tensors that stand in some checkpoints and change no embedding. */
const NEUTRAL = new Set([
  'logit_bias',
  // Of OpenAI's own archives.
  'input_resolution',
  'context_length',
  'vocab_size',
  'attn_mask',
  'text.attn_mask',
]);

export class Weights {
  readonly #table: TensorTable;
  readonly #used = new Set<string>();
  /** `text.` where the checkpoint keeps its text tower in a module of its own (`custom_text`). */
  readonly textPrefix: string;

  constructor(table: TensorTable) {
    this.#table = table;
    this.textPrefix = table.tensors.has('text.positional_embedding') ? 'text.' : '';
  }

  /** Throws `ModelError` where the tensor is missing, has another shape, or a type that cannot be run. */
  get(name: string, shape: readonly number[]): WeightRef {
    const entry = this.#table.tensors.get(name);
    const where = { file: this.#table.file, tensor: name };
    if (entry === undefined) {
      throw new ModelError('the checkpoint lacks a tensor that its config asks for', {
        ...where,
        hint: 'The config and the weights are not of one model',
      });
    }
    if (entry.shape.length !== shape.length || entry.shape.some((size, axis) => size !== shape[axis])) {
      const found = `[${entry.shape.join(', ')}], the config asks for [${shape.join(', ')}]`;
      throw new ModelError(`the tensor has shape ${found}`, {
        ...where,
        hint: 'The config and the weights are not of one model',
      });
    }
    this.#used.add(name);
    return weightRef(entry, this.#table.file);
  }

  /**
   * The one tensor read here and now. open_clip stores it as a scalar or as one element.
   * It is the logarithm of the factor on the cosines, as trained.
   */
  logitScale(): WeightRef {
    const stored = this.#table.tensors.get('logit_scale');
    return this.get('logit_scale', stored?.shape.length === 1 ? [1] : []);
  }

  /**
   * Once all was asked for: a tensor nobody wanted means that the model has a part the config does not name.
   * open_clip's own loading is as strict.
   */
  finish(): void {
    for (const name of this.#table.tensors.keys()) {
      if (this.#used.has(name) || NEUTRAL.has(name)) continue;
      throw new ModelError('the checkpoint has a tensor that its config does not account for', {
        file: this.#table.file,
        tensor: name,
        hint: 'The config and the weights are not of one model, or the model is no plain ViT CLIP',
      });
    }
  }
}
