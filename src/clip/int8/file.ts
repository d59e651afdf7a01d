/** What a quantised checkpoint's safetensors file holds beside ordinary tensors. */
import { ModelError } from '../../errors.ts';
import {
  type RangedBytes,
  readSafetensors,
  type TensorEntry,
  type TensorTable,
} from '../../onnx/safetensors.ts';
import type { InputScale } from './scales.ts';

/** Changes with anything that changes the bytes: an older file is not read, but made again. */
export const QUANTISER_VERSION = 2;
const MARK = 'shardsieve_int8';

/** A layer's tensors; see `QuantisedMatrix`. */
export function tensorNames(layer: string) {
  return {
    weight: `${layer}.int8`,
    scale: `${layer}.int8_scale`,
    bias: `${layer}.int8_bias`,
    /** For inputs that were moved up from the least activation to zero. */
    shiftedBias: `${layer}.int8_shifted_bias`,
  };
}

export interface QuantisedFile {
  readonly table: TensorTable;
  /** How each layer's input is quantised, by its name. */
  readonly inputs: ReadonlyMap<string, InputScale>;
}

/** The header's texts. */
export function encodeMetadata(
  inputs: Readonly<Record<string, InputScale>>,
  made: Readonly<Record<string, string>>,
): Record<string, string> {
  return { ...made, [MARK]: JSON.stringify({ version: QUANTISER_VERSION, inputs }) };
}

/** Reads the header. Throws `ModelError` for anything but a file that this version wrote. */
export async function readQuantised(file: RangedBytes): Promise<QuantisedFile> {
  const table = await readSafetensors(file, 'quantised checkpoint');
  try {
    const { version, inputs } = JSON.parse(table.metadata[MARK] ?? '') as {
      version: number;
      inputs: Record<string, InputScale>;
    };
    if (version !== QUANTISER_VERSION) throw new Error(`version ${version}`);
    return { table, inputs: new Map(Object.entries(inputs)) };
  } catch (cause) {
    throw new ModelError('the file is no quantised checkpoint of this version of Shardsieve', {
      file: file.name,
      cause,
      hint: 'Remove it: it is made again',
    });
  }
}

/**
 * The tensors of the original, each where it lies in the quantised file. Those that were quantised keep their shape, by
 * which the config is checked, and an offset that no runtime can read.
 */
export function movedTable(original: TensorTable, { table }: QuantisedFile): TensorTable {
  const tensors = new Map<string, TensorEntry>();
  for (const [name, entry] of original.tensors) {
    tensors.set(name, table.tensors.get(name) ?? { ...entry, offset: Number.MAX_SAFE_INTEGER });
  }
  return { file: original.file, tensors, metadata: {} };
}
