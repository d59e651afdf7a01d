/** From the bytes of a published file to a head: which of the known formats it is, and whose embeddings it takes. */
import { ModelError } from '../../errors.ts';
import type { RangedBytes } from '../../onnx/safetensors.ts';
import { checkHead, HEAD_FORMAT, type Head, type HeadInfo, type HeadSpace } from './head.ts';
import { importKerasZip } from './keras/import.ts';
import { KNOWN_HEADS } from './known.ts';
import type { Layer } from './layers.ts';
import { importTorchLayers } from './torch-layers.ts';

export interface PublishedFile {
  /** For messages. */
  name: string;
  bytes: Uint8Array;
  /** Hex SHA-256 of the bytes. */
  sha256: string;
}

export interface ImportOptions {
  /** Whose embeddings an unknown head takes, and the name to give it. A known head has both. */
  space?: HeadSpace;
  name?: string;
  /** Reads two float32 rows of a `.npy`. */
  readNpy(bytes: Uint8Array, name: string): { shape: readonly number[]; values: Float32Array };
}

/**
 * Reads a Keras zip, a violence `.npy` or a safetensors file of torch layers. A file that is known by its hash gets
 * its name, licence and space; any other needs `space`. Throws `ModelError` naming file, field and what to do.
 */
export async function importPublished(file: PublishedFile, options: ImportOptions): Promise<Head> {
  const known = KNOWN_HEADS.find(({ sha256 }) => sha256 === file.sha256);
  const { layers, dim } = await readLayers(file, options);
  const info = known === undefined ? describeUnknown(file, options, layers) : known.info;
  if (info.space.dim !== dim) {
    throw new ModelError(
      `the head takes embeddings of ${dim} components, but those of ${info.space.name} have ${info.space.dim}`,
      { file: file.name, hint: 'Name the model that it was trained for with --model' },
    );
  }
  return checkHead({ info, layers }, file.name);
}

async function readLayers(
  file: PublishedFile,
  options: ImportOptions,
): Promise<{ layers: Layer[]; dim: number }> {
  const { name, bytes } = file;
  const begins = (...magic: number[]): boolean => magic.every((byte, i) => bytes[i] === byte);
  if (isPickle(bytes, name)) {
    throw new ModelError('the file is a pickle, which is a program: it is never loaded', {
      file: name,
      hint: 'Save its tensors as safetensors once, in Python: safetensors.torch.save_file(torch.load(FILE, weights_only=True), "head.safetensors")',
    });
  }
  if (begins(0x50, 0x4b)) return importKerasZip(bytes, name);
  if (begins(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59)) return promptLayers(options.readNpy(bytes, name), name);
  const ranged: RangedBytes = { name, size: bytes.length, slice: async (a, b) => bytes.subarray(a, b) };
  return importTorchLayers(ranged);
}

/** torch's files: a zip whose folder holds `data.pkl`, or, before 1.6, a bare pickle. */
function isPickle(bytes: Uint8Array, name: string): boolean {
  if (bytes[0] === 0x80 && bytes[1] >= 2 && bytes[1] <= 5) return true;
  if (bytes[0] !== 0x50 || bytes[1] !== 0x4b) return false;
  const first = new TextDecoder('latin1').decode(bytes.subarray(30, 30 + bytes[26] + 256 * bytes[27]));
  return /(^|\/)data\.pkl$/.test(first) || /\.(pt|pth|bin|ckpt)$/i.test(name);
}

/** Two prompts; the tag is that the second is nearer. */
function promptLayers(
  { shape, values }: { shape: readonly number[]; values: Float32Array },
  file: string,
): { layers: Layer[]; dim: number } {
  const [prompts, dim] = shape;
  if (shape.length !== 2 || prompts !== 2) {
    throw new ModelError(`the array is [${shape}], not two prompts`, {
      file,
      hint: "Known are LAION's violence_detection_vit_*.npy: shardsieve heads pull laion-violence-l14",
    });
  }
  const weight = new Float32Array(values.length);
  for (let p = 0; p < 2; p++) for (let k = 0; k < dim; k++) weight[k * 2 + p] = values[p * dim + k];
  const dense: Layer = { type: 'dense', inputs: dim, outputs: 2, weight, activation: 'linear' };
  return { layers: [dense, { type: 'argmax', index: 1 }], dim };
}

function describeUnknown(file: PublishedFile, options: ImportOptions, layers: readonly Layer[]): HeadInfo {
  const { space, name } = options;
  if (space === undefined || name === undefined) {
    throw new ModelError(
      'the head is not one of the published ones, and says not whose embeddings it takes',
      {
        file: file.name,
        hint: 'Name it and its model: shardsieve heads import FILE --name NAME --model MODEL --out HEAD',
      },
    );
  }
  const isChoice = layers.at(-1)?.type === 'argmax';
  return {
    format: HEAD_FORMAT,
    name,
    title: `${name}, imported from a file of unknown origin`,
    space,
    preprocess_fingerprint: null,
    labels: [name],
    columns: [`safety_${name}`],
    thresholds: isChoice ? { [name]: 0.5 } : { unsure: 0.1, nsfw: 0.5 },
    licence: 'unknown',
    source: `a file with SHA-256 ${file.sha256}`,
    trained_on: 'unknown',
    limits: 'unknown; measure it on labelled samples of your own before you trust it',
  };
}
