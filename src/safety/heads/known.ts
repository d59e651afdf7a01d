/** Published heads that are known by name: where their files are, what they are for, what can be said of them. */
import type { HeadInfo, HeadSpace } from './head.ts';
import { HEAD_FORMAT } from './head.ts';

/** OpenAI's two checkpoints. LAION names no weights file, so the hub's copies stand for them. */
export const OPENAI_L14: HeadSpace = {
  name: 'OpenAI CLIP ViT-L/14',
  dim: 768,
  weights_sha256: [],
  models: ['timm/vit_large_patch14_clip_224.openai'],
  datacomp: 'l14',
};
export const OPENAI_B32: HeadSpace = {
  name: 'OpenAI CLIP ViT-B/32',
  dim: 512,
  weights_sha256: [],
  models: ['timm/vit_base_patch32_clip_224.openai'],
  datacomp: 'b32',
};

export interface KnownHead {
  /** As it is typed: `laion-l14`. */
  alias: string;
  /** How the published file is read. */
  kind: 'keras' | 'violence';
  file: string;
  url: string;
  sha256: string;
  /** Bytes. */
  size: number;
  info: HeadInfo;
}

/** A commit, because files were moved about later. */
const UPSTREAM =
  'https://raw.githubusercontent.com/LAION-AI/CLIP-based-NSFW-Detector/d6bb8fe31fd4aecbfed7dfb62df4fe5858bfc014';
const LICENCE = 'MIT, Copyright 2022 Christoph Schuhmann (LAION-AI/CLIP-based-NSFW-Detector)';

/**
 * `nsfw` 0.5 is where LAION's clip-retrieval cuts; `unsure` 0.1 is where DataComp cut its pool with a head of this
 * kind, which dropped 14.4% of the images.
 */
const NSFW_THRESHOLDS = { unsure: 0.1, nsfw: 0.5 };

const NSFW_TRAINED_ON =
  'Embeddings of pictures collected by alex000kim/nsfw_data_scraper, sorted by where they were found and in part by ' +
  'hand (LAION-AI/CLIP-based-NSFW-Detector, data/README.md); in two classes, safe and not';
const NSFW_LIMITS =
  'Nudity and pornography only: not violence, hate, self-harm or drugs, and nothing that only the text says. Five or ' +
  'three components are looked up by their float16 value in tables of the training set, so a float32 embedding and its ' +
  'float16 copy can differ. Drawings, small details and unusual pictures are missed; medical pictures, art and skin ' +
  'tones can be flagged wrongly. Trained on what the web showed until 2022';
const VIOLENCE_LIMITS =
  'Two text prompts, whose words are not published; no measured accuracy. It answers yes or no, so no threshold can ' +
  'tune it';

function detector(size: 'l14' | 'b32', space: HeadSpace): HeadInfo {
  const model = size === 'l14' ? 'ViT-L/14' : 'ViT-B/32';
  return {
    format: HEAD_FORMAT,
    name: `laion_${size}`,
    title: `LAION's NSFW detector over OpenAI's ${model}`,
    space,
    preprocess_fingerprint: null,
    labels: ['nsfw'],
    columns: [`nsfw_laion_${size}`],
    thresholds: NSFW_THRESHOLDS,
    licence: LICENCE,
    source: 'https://github.com/LAION-AI/CLIP-based-NSFW-Detector',
    trained_on: NSFW_TRAINED_ON,
    limits: NSFW_LIMITS,
  };
}

function violence(size: 'l14' | 'b32', space: HeadSpace): HeadInfo {
  const model = size === 'l14' ? 'ViT-L/14' : 'ViT-B/32';
  return {
    ...detector(size, space),
    name: `laion_violence_${size}`,
    title: `LAION's violence prompts over OpenAI's ${model}`,
    labels: ['violent'],
    columns: [`safety_laion_violence_${size}`],
    thresholds: { violent: 0.5 },
    trained_on: 'Nothing: two prompts, embedded by the text tower; the nearer one is the answer',
    limits: VIOLENCE_LIMITS,
  };
}

export const KNOWN_HEADS: readonly KnownHead[] = [
  {
    alias: 'laion-l14',
    kind: 'keras',
    file: 'clip_autokeras_binary_nsfw.zip',
    url: `${UPSTREAM}/clip_autokeras_binary_nsfw.zip`,
    sha256: '905520bb0336accc73ee282c605d926aef90cf14248889d44b9cee50eef71f8a',
    size: 1_094_585,
    info: detector('l14', OPENAI_L14),
  },
  {
    alias: 'laion-b32',
    kind: 'keras',
    file: 'clip_autokeras_nsfw_b32.zip',
    url: `${UPSTREAM}/clip_autokeras_nsfw_b32.zip`,
    sha256: '78715ab9d64485167e8c9ade3b8e6761a17a16c24d114bd47431ac1dab46462b',
    size: 231_831,
    info: detector('b32', OPENAI_B32),
  },
  {
    alias: 'laion-violence-l14',
    kind: 'violence',
    file: 'violence_detection_vit_l_14.npy',
    url: `${UPSTREAM}/violence_detection_vit_l_14.npy`,
    sha256: 'cc08f81ef50b1ef71452ddc87285fe6fbbc01b6fe8f8b8c24482c386ef2ab7e1',
    size: 6272,
    info: violence('l14', OPENAI_L14),
  },
  {
    alias: 'laion-violence-b32',
    kind: 'violence',
    file: 'violence_detection_vit_b_32.npy',
    url: `${UPSTREAM}/violence_detection_vit_b_32.npy`,
    sha256: '76909cca3e77abbbb21313895756773a9c6fb26c9cc743f3ef0625f025741982',
    size: 4224,
    info: violence('b32', OPENAI_B32),
  },
];
