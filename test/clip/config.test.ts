import { describe, expect, it } from 'vitest';
import { parseClipConfig } from '../../src/clip/config.ts';
import { ModelError } from '../../src/errors.ts';

const vision = { image_size: 224, layers: 12, width: 768, patch_size: 32 };
const text = { context_length: 77, vocab_size: 49_408, width: 512, heads: 8, layers: 12 };

interface Parts {
  model?: Record<string, unknown>;
  vision?: Record<string, unknown>;
  text?: Record<string, unknown>;
  preprocess?: unknown;
}
function parse(parts: Parts = {}) {
  const model_cfg = {
    embed_dim: 512,
    vision_cfg: { ...vision, ...parts.vision },
    text_cfg: { ...text, ...parts.text },
    ...parts.model,
  };
  return parseClipConfig(JSON.stringify({ model_cfg, preprocess_cfg: parts.preprocess }), 'c.json');
}

describe('parseClipConfig', () => {
  it('reads B/32', () => {
    expect(parse({ preprocess: { mean: [0, 0, 0] } })).toEqual({
      embedDim: 512,
      quickGelu: false,
      vision: { imageSize: 224, patchSize: 32, width: 768, layers: 12, heads: 12, mlpWidth: 3072 },
      text: { contextLength: 77, vocabSize: 49_408, width: 512, layers: 12, heads: 8, mlpWidth: 2048 },
      preprocess: { mean: [0, 0, 0] },
    });
  });

  it('knows head widths, MLP ratios and QuickGELU', () => {
    const h14 = parse({
      model: { quick_gelu: true },
      vision: { width: 1280, head_width: 80, patch_size: 14 },
    });
    expect(h14.quickGelu).toBe(true);
    expect(h14.vision.heads).toBe(16);
    const g14 = parse({ vision: { width: 1408, head_width: 88, mlp_ratio: 4.3637, patch_size: 14 } });
    expect(g14.vision.mlpWidth).toBe(6144);
  });

  it('uses open_clip’s defaults for what is left out', () => {
    const json = JSON.stringify({ model_cfg: { embed_dim: 8, vision_cfg: {}, text_cfg: {} } });
    const config = parseClipConfig(json);
    expect(config.vision).toMatchObject({ imageSize: 224, patchSize: 16, width: 768, layers: 12, heads: 12 });
    expect(config.text).toMatchObject({ contextLength: 77, vocabSize: 49_408, width: 512, heads: 8 });
    expect(config.preprocess).toEqual({});
  });

  it.each<[string, Parts]>([
    ['dropout of patches', { vision: { patch_dropout: 0.5 } }],
    ['a square given twice', { vision: { image_size: [224, 224], patch_size: [32, 32] } }],
    ['what training starts from', { model: { init_logit_scale: 2.3, init_logit_bias: -10 } }],
    ['a text tower in its own module', { model: { custom_text: true } }],
    ['switches that are off', { vision: { timm_model_name: null, ls_init_value: null, act_kwargs: null } }],
    ['no Hugging Face parts', { text: { hf_model_name: null, hf_tokenizer_name: '', tokenizer_kwargs: {} } }],
  ])('accepts %s', (_, parts) => {
    expect(parse(parts).vision).toEqual(parse().vision);
    expect(parse(parts).text).toEqual(parse().text);
  });

  it.each<[string, Parts]>([
    ['vision_cfg.timm_model_name', { vision: { timm_model_name: 'vit_base' } }],
    ['vision_cfg.pool_type', { vision: { pool_type: 'avg' } }],
    ['vision_cfg.attentional_pool', { vision: { attentional_pool: true } }],
    ['vision_cfg.no_ln_pre', { vision: { no_ln_pre: true } }],
    ['vision_cfg.ls_init_value', { vision: { ls_init_value: 1e-5 } }],
    ['vision_cfg.act_kwargs', { vision: { act_kwargs: { approximate: 'tanh' } } }],
    ['vision_cfg.norm_kwargs', { vision: { norm_kwargs: { eps: 1e-6 } } }],
    ['vision_cfg.qk_norm', { vision: { qk_norm: true } }],
    ['vision_cfg.block_type', { vision: { block_type: 'custom' } }],
    ['vision_cfg.layers', { vision: { layers: [3, 4, 6, 3] } }],
    ['vision_cfg.image_size', { vision: { image_size: [224, 256] } }],
    ['vision_cfg.patch_size', { vision: { patch_size: 15 } }],
    ['vision_cfg.head_width', { vision: { head_width: 100 } }],
    ['vision_cfg.width', { vision: { width: 1e9 } }],
    ['vision_cfg.invented', { vision: { invented: 1 } }],
    ['vision_cfg.toString', { vision: { toString: 1 } }],
    ['text_cfg.hf_model_name', { text: { hf_model_name: 'xlm-roberta-base' } }],
    ['text_cfg.hf_tokenizer_name', { text: { hf_tokenizer_name: 'x' } }],
    ['text_cfg.tokenizer_kwargs', { text: { tokenizer_kwargs: { clean: 'canonicalize' } } }],
    ['text_cfg.embed_cls', { text: { embed_cls: true } }],
    ['text_cfg.no_causal_mask', { text: { no_causal_mask: true } }],
    ['text_cfg.pool_type', { text: { pool_type: 'last' } }],
    ['text_cfg.proj_bias', { text: { proj_bias: true } }],
    ['text_cfg.proj_type', { text: { proj_type: 'none' } }],
    ['text_cfg.text_arch', { text: { text_arch: 'modern' } }],
    ['text_cfg.heads', { text: { heads: 7 } }],
    ['model_cfg.multimodal_cfg', { model: { multimodal_cfg: {} } }],
    ['model_cfg.quick_gelu', { model: { quick_gelu: 'yes' } }],
    ['model_cfg.embed_dim', { model: { embed_dim: 0 } }],
    ['model_cfg.vision_cfg', { model: { vision_cfg: [] } }],
    ['preprocess_cfg', { preprocess: 3 }],
  ])('refuses %s by name', (key, parts) => {
    expect(() => parse(parts)).toThrow(ModelError);
    expect(() => parse(parts)).toThrow(key);
    expect(() => parse(parts)).toThrow('file c.json');
  });

  it.each(['', '[]', 'null', '{}', '{"model_cfg": 1}'])('refuses %j', (json) => {
    expect(() => parseClipConfig(json)).toThrow(ModelError);
  });
});
