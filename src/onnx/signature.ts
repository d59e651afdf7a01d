/**
 * What an ONNX model from elsewhere takes and gives: the names and types of its inputs and outputs, read from the bytes
 * without loading the model. Field numbers from onnx/onnx.proto: ModelProto.graph 7, GraphProto.input 11 and output 12,
 * ValueInfoProto.name 1 and type 2, TypeProto.tensor_type 1, TypeProto.Tensor.elem_type 1, GraphProto.initializer 5,
 * TensorProto.name 8.
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { ModelError } from '../errors.ts';
import { ONNX_TYPE, type OnnxType } from './proto.ts';

export interface Signature {
  /** Inputs that must be fed: those with an initial value are left out. */
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
}

export interface Port {
  readonly name: string;
  /** `undefined` for what is no tensor, or of a type that is not used here. */
  readonly type: OnnxType | undefined;
}

/** Throws `ModelError` where the bytes are no ONNX model. */
export function readSignature(model: Uint8Array, file: string): Signature {
  try {
    const graph = fieldsOf(model, [7]).get(7)?.[0];
    if (graph === undefined) throw new Error('no graph');
    const parts = fieldsOf(graph, [5, 11, 12]);
    const constant = new Set((parts.get(5) ?? []).map((tensor) => textOf(tensor, 8)));
    return {
      inputs: (parts.get(11) ?? []).map(portOf).filter(({ name }) => !constant.has(name)),
      outputs: (parts.get(12) ?? []).map(portOf),
    };
  } catch (cause) {
    throw new ModelError('the file is no ONNX model', {
      file,
      cause,
      hint: 'Name a .onnx file that is whole',
    });
  }
}

const TYPES = new Map<number, OnnxType>(
  (Object.entries(ONNX_TYPE) as [OnnxType, number][]).map(([name, value]) => [value, name]),
);

/** The length-delimited fields of a message that are asked for, as views; the others are passed over. */
function fieldsOf(message: Uint8Array, wanted: readonly number[]): Map<number, Uint8Array[]> {
  const reader = new BinaryReader(message);
  const found = new Map<number, Uint8Array[]>();
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type === WireType.LengthDelimited && wanted.includes(field)) {
      const length = reader.uint32();
      if (reader.pos + length > reader.len) throw new Error('cut short');
      found.set(field, [...(found.get(field) ?? []), message.subarray(reader.pos, reader.pos + length)]);
      reader.pos += length;
    } else {
      reader.skip(type);
    }
  }
  return found;
}

function textOf(message: Uint8Array, field: number): string {
  return new TextDecoder().decode(fieldsOf(message, [field]).get(field)?.[0]);
}

function portOf(value: Uint8Array): Port {
  const tensor = fieldsOf(fieldsOf(value, [2]).get(2)?.[0] ?? new Uint8Array(0), [1]).get(1)?.[0];
  return { name: textOf(value, 1), type: tensor === undefined ? undefined : elementOf(tensor) };
}

function elementOf(tensor: Uint8Array): OnnxType | undefined {
  const reader = new BinaryReader(tensor);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1 && type === WireType.Varint) return TYPES.get(reader.int32());
    reader.skip(type);
  }
  return undefined;
}
