/**
 * open_clip's `open_clip_config.json`, as far as the towers here can follow it: plain ViT CLIPs. A key that would
 * change the numbers and is not built is refused by name; so is a key nobody here has heard of. Keys and defaults
 * after open_clip's `CLIPVisionCfg`, `CLIPTextCfg` and `CLIP` (open_clip_torch 3.3.0 and its main branch of June
 * 2026), file `src/open_clip/model.py`.
 */
import { ModelError } from '../errors.ts';

export interface VisionConfig {
  /** Side of the square input, pixels. */
  readonly imageSize: number;
  /** Side of a patch, pixels; divides `imageSize`. */
  readonly patchSize: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Width inside the MLP. */
  readonly mlpWidth: number;
}

export interface TextConfig {
  /** Tokens a caption may have, start and end included. */
  readonly contextLength: number;
  readonly vocabSize: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  readonly mlpWidth: number;
}

export interface ClipConfig {
  readonly embedDim: number;
  /** x·sigmoid(1.702·x) in place of the exact GELU: a property of the checkpoint. */
  readonly quickGelu: boolean;
  readonly vision: VisionConfig;
  readonly text: TextConfig;
  /** `preprocess_cfg` as written, `{}` where absent; the image room reads it. */
  readonly preprocess: Readonly<Record<string, unknown>>;
}

/** What a key may be: `any` where it cannot change an embedding, or the only values that are built. */
type Rule = 'any' | readonly unknown[];

const OFF: Rule = [undefined, null, false];
/** Settings of the attention block that both towers share; all of them select open_clip's custom block. */
const BLOCK: Record<string, Rule> = {
  block_type: [null, 'default'],
  qk_norm: OFF,
  scaled_cosine_attn: OFF,
  scale_heads: OFF,
  scale_attn_inner: OFF,
  scale_attn: OFF,
  scale_fc: OFF,
  ls_init_value: [null],
  output_tokens: OFF,
  act_kwargs: [null, {}],
  norm_kwargs: [null, {}],
};

const MODEL_RULES: Record<string, Rule> = {
  embed_dim: 'any',
  vision_cfg: 'any',
  text_cfg: 'any',
  quick_gelu: [true, false],
  // Only names the module that holds the text tower; its tensors are found under either name.
  custom_text: [true, false],
  // Starting values for training, and the shape they are stored in.
  init_logit_scale: 'any',
  init_logit_bias: 'any',
  nonscalar_logit_scale: 'any',
  output_dict: 'any',
};

const VISION_RULES: Record<string, Rule> = {
  ...BLOCK,
  layers: 'any',
  width: 'any',
  head_width: 'any',
  mlp_ratio: 'any',
  patch_size: 'any',
  image_size: 'any',
  image_seq_len: 'any',
  // Only while training.
  patch_dropout: 'any',
  attentional_pool: OFF,
  attn_pooler_queries: 'any',
  attn_pooler_heads: 'any',
  no_ln_pre: OFF,
  // Says how the stored table was made.
  pos_embed_type: ['learnable', 'sin_cos_2d'],
  // One token is pooled, so normalising before or after is the same.
  final_ln_after_pool: 'any',
  pool_type: ['tok'],
  timm_model_name: [null, ''],
  timm_model_pretrained: 'any',
  timm_pool: 'any',
  timm_proj: 'any',
  timm_proj_bias: 'any',
  timm_drop: 'any',
  timm_drop_path: 'any',
  timm_model_kwargs: 'any',
};

const TEXT_RULES: Record<string, Rule> = {
  ...BLOCK,
  text_arch: ['clip'],
  context_length: 'any',
  variable_text: OFF,
  vocab_size: 'any',
  hf_tokenizer_name: [null, ''],
  tokenizer_mode: 'any',
  tokenizer_kwargs: [null, {}],
  tokenizer_type: [null, ''],
  tiktoken_name: 'any',
  width: 'any',
  heads: 'any',
  layers: 'any',
  mlp_ratio: 'any',
  embed_cls: OFF,
  // Read only by pools and masks that are refused below.
  pad_id: 'any',
  bos_id: 'any',
  eos_id: 'any',
  no_causal_mask: OFF,
  final_ln_after_pool: 'any',
  pool_type: ['argmax'],
  proj_bias: OFF,
  proj_type: ['linear'],
  norm_type: [null, 'layernorm'],
  attention_bias: [null, true],
  mlp_bias: [null, true],
  hf_model_name: [null, ''],
  hf_model_pretrained: 'any',
  hf_proj_type: 'any',
  hf_pooler_type: 'any',
  hf_model_config: 'any',
  // Of the "modern" text tower, which `text_arch` refuses.
  attention_mode: 'any',
  pos_embed: 'any',
  rope_temperature: 'any',
  mlp_type: 'any',
  norm_eps: 'any',
  attn_gated: 'any',
  pre_norm: 'any',
  norm_placement: 'any',
  zero_init_residual: 'any',
  reg_tokens: 'any',
  value_residual: 'any',
  gate_bias: 'any',
};

/** Larger numbers are a broken file, not a model: open_clip's largest has width 5,120 of MLP 15,360 and 56 layers. */
const MAX = { width: 16_384, layers: 256, imageSize: 2_048, contextLength: 4_096, vocab: 2 ** 21, ratio: 32 };
const HINT = 'Only plain ViT CLIP checkpoints of open_clip can be run';

/**
 * Reads the text of an `open_clip_config.json`. `file` is for messages.
 * Throws `ModelError` naming the key that is missing, wrong, unknown or not implemented.
 */
export function parseClipConfig(json: string, file = 'open_clip_config.json'): ClipConfig {
  let root: unknown;
  try {
    root = JSON.parse(json);
  } catch (cause) {
    throw new ModelError('the model config is not JSON', { file, cause });
  }
  if (!isRecord(root)) throw new ModelError('the model config is not an object', { file });
  const reader = new Reader(file);
  const model = reader.record(root, 'model_cfg', '');
  reader.check(model, MODEL_RULES, 'model_cfg');
  const embedDim = reader.size(model, 'embed_dim', 'model_cfg', MAX.width);
  const quickGelu = model['quick_gelu'] === true;
  const vision = readVision(reader, reader.record(model, 'vision_cfg', 'model_cfg.'));
  const text = readText(reader, reader.record(model, 'text_cfg', 'model_cfg.'));
  const preprocess = root['preprocess_cfg'] === undefined ? {} : reader.record(root, 'preprocess_cfg', '');
  return { embedDim, quickGelu, vision, text, preprocess };
}

function readVision(reader: Reader, cfg: Record<string, unknown>): VisionConfig {
  const at = 'model_cfg.vision_cfg';
  reader.check(cfg, VISION_RULES, at);
  const width = reader.size(cfg, 'width', at, MAX.width, 768);
  const headWidth = reader.size(cfg, 'head_width', at, MAX.width, 64);
  const heads = Math.floor(width / headWidth);
  if (heads < 1 || width % heads !== 0) {
    throw reader.error(`${at}.head_width`, `${headWidth} does not divide the width ${width} into heads`);
  }
  const imageSize = reader.side(cfg, 'image_size', at, 224);
  const patchSize = reader.side(cfg, 'patch_size', at, 16);
  if (imageSize % patchSize !== 0) {
    throw reader.error(`${at}.patch_size`, `${patchSize} does not divide the image size ${imageSize}`);
  }
  const layers = reader.size(cfg, 'layers', at, MAX.layers, 12);
  return { imageSize, patchSize, width, layers, heads, mlpWidth: reader.mlpWidth(cfg, width, at) };
}

function readText(reader: Reader, cfg: Record<string, unknown>): TextConfig {
  const at = 'model_cfg.text_cfg';
  reader.check(cfg, TEXT_RULES, at);
  const width = reader.size(cfg, 'width', at, MAX.width, 512);
  const heads = reader.size(cfg, 'heads', at, MAX.width, 8);
  if (width % heads !== 0) throw reader.error(`${at}.heads`, `${heads} does not divide the width ${width}`);
  return {
    contextLength: reader.size(cfg, 'context_length', at, MAX.contextLength, 77),
    vocabSize: reader.size(cfg, 'vocab_size', at, MAX.vocab, 49_408),
    width,
    layers: reader.size(cfg, 'layers', at, MAX.layers, 12),
    heads,
    mlpWidth: reader.mlpWidth(cfg, width, at),
  };
}

class Reader {
  readonly #file: string;

  constructor(file: string) {
    this.#file = file;
  }

  error(key: string, problem: string): ModelError {
    return new ModelError(`the model config's ${key}: ${problem}`, { file: this.#file, hint: HINT });
  }

  record(parent: Record<string, unknown>, key: string, at: string): Record<string, unknown> {
    const value = parent[key];
    if (!isRecord(value)) throw this.error(`${at}${key}`, value === undefined ? 'missing' : 'not an object');
    return value;
  }

  /** Refuses every key without a rule, and every value outside its rule. */
  check(cfg: Record<string, unknown>, rules: Record<string, Rule>, at: string): void {
    for (const [key, value] of Object.entries(cfg)) {
      const rule = Object.hasOwn(rules, key) ? rules[key] : undefined;
      if (rule === undefined) throw this.error(`${at}.${key}`, 'unknown key');
      if (rule !== 'any' && !rule.some((allowed) => same(allowed, value))) {
        throw this.error(`${at}.${key}`, `${show(value)} is not implemented`);
      }
    }
  }

  size(cfg: Record<string, unknown>, key: string, at: string, max: number, missing?: number): number {
    const value = cfg[key] ?? missing;
    if (value === undefined) throw this.error(`${at}.${key}`, 'missing');
    if (Array.isArray(value)) throw this.error(`${at}.${key}`, `${show(value)} (a list) is not implemented`);
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > max) {
      throw this.error(`${at}.${key}`, `${show(value)} is not a whole number from 1 to ${max}`);
    }
    return value;
  }

  /** One side of a square; open_clip also writes `[side, side]`. */
  side(cfg: Record<string, unknown>, key: string, at: string, missing: number): number {
    const value = cfg[key];
    const square = Array.isArray(value) && value.length === 2 && value[0] === value[1];
    return this.size({ [key]: square ? value[0] : value }, key, at, MAX.imageSize, missing);
  }

  mlpWidth(cfg: Record<string, unknown>, width: number, at: string): number {
    const ratio = cfg['mlp_ratio'] ?? 4;
    if (typeof ratio !== 'number' || !(ratio > 0) || ratio > MAX.ratio || width * ratio < 1) {
      throw this.error(`${at}.mlp_ratio`, `${show(ratio)} is not a number from 0 to ${MAX.ratio}`);
    }
    return Math.trunc(width * ratio);
  }
}

function same(allowed: unknown, value: unknown): boolean {
  return allowed === value || (isRecord(allowed) && isRecord(value) && Object.keys(value).length === 0);
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
