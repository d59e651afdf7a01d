/** `manifest.json` beside exported towers: what they are, and all that using them takes. */
import { ModelError } from '../../errors.ts';
import type { PreprocessConfig } from '../../image/preprocess-config.ts';
import type { QuantisedPrecision } from '../precision.ts';

export const MANIFEST_FILE = 'manifest.json';
const FORMAT = 'shardsieve-towers';
const VERSION = 1;

export const EXPORTED_PARTS = ['image', 'text', 'table'] as const;
export type ExportedPart = (typeof EXPORTED_PARTS)[number];

export interface ExportedFile {
  readonly name: string;
  readonly bytes: number;
  /** Hex. */
  readonly sha256: string;
}

export interface ExportManifest {
  readonly format: typeof FORMAT;
  readonly version: typeof VERSION;
  /** For people: `org/name`, a folder's name, `demo`. */
  readonly name: string;
  readonly revision?: string;
  /** The middle of `clip_<slug>_similarity_score`. */
  readonly slug: string;
  /** Stands for everything that decides the numbers. */
  readonly fingerprint: string;
  readonly precision: QuantisedPrecision;
  readonly dim: number;
  readonly context_length: number;
  readonly vocab_size: number;
  readonly image_size: number;
  readonly logit_scale: number;
  readonly preprocess: PreprocessConfig;
  readonly preprocess_fingerprint: string;
  /** What the fingerprint is made of, beside precision and preprocess. */
  readonly made: Readonly<Record<string, string | number>>;
  /** Length of a row of the table of token embeddings. */
  readonly text_width: number;
  /** Both towers in the format of onnxruntime, weights inside; the table of token embeddings, half floats by row. */
  readonly files: Readonly<Record<ExportedPart, ExportedFile>>;
  /** Heads over the image embeddings, `heads/<name>.safetensors`, in the order of their columns. */
  readonly heads: readonly ExportedFile[];
}

/** All that lies beside the manifest. */
export function exportedFiles({ files, heads }: ExportManifest): ExportedFile[] {
  return [...EXPORTED_PARTS.map((part) => files[part]), ...heads];
}

export function encodeManifest(manifest: Omit<ExportManifest, 'format' | 'version'>): string {
  return `${JSON.stringify({ format: FORMAT, version: VERSION, ...manifest }, null, 2)}\n`;
}

/** `file` is for messages. Throws `ModelError` for anything but a manifest that this version writes. */
export function parseManifest(text: string, file: string): ExportManifest {
  let manifest: Partial<ExportManifest>;
  try {
    manifest = JSON.parse(text) as Partial<ExportManifest>;
  } catch (cause) {
    throw new ModelError('the manifest of the exported towers is no JSON', { file, cause });
  }
  // Exports from before there were heads have none.
  const { format, version, files, heads = [] } = manifest ?? {};
  const isWhole =
    Array.isArray(heads) &&
    [...EXPORTED_PARTS.map((part) => files?.[part]), ...heads].every(
      (file) => typeof file?.name === 'string' && Number.isInteger(file.bytes),
    );
  if (format !== FORMAT || version !== VERSION || !isWhole) {
    throw new ModelError('the file is no manifest of this version of Shardsieve', {
      file,
      hint: 'Export the model again: shardsieve models export MODEL --target workers --out DIR',
    });
  }
  return { ...manifest, heads } as ExportManifest;
}
