/**
 * ONNX's ModelProto as bytes. Only the messages the graphs here use, written with the wire-format writer of
 * @bufbuild/protobuf: no generated code, no code generation at run time (which workers forbid). Field numbers from
 * onnx/onnx.proto (IR version 10).
 */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';

/** TensorProto.DataType. */
export const ONNX_TYPE = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  bfloat16: 16,
} as const;
export type OnnxType = keyof typeof ONNX_TYPE;

/** A size, or the name of one that is known only at run time. */
export type Dim = number | string;

export interface ValueSpec {
  name: string;
  type: OnnxType;
  dims: readonly Dim[];
}

/** Bytes in a file beside the model. */
export interface ExternalData {
  location: string;
  /** Bytes from the start of the file. */
  offset: number;
  /** Bytes. */
  length: number;
}

export interface InitializerSpec {
  name: string;
  type: OnnxType;
  dims: readonly number[];
  data: Uint8Array | ExternalData;
}

/** `{ float }` and `{ string }` say what a bare number would leave open: numbers are INT. */
export type Attribute = number | readonly number[] | { float: number } | { string: string };

export interface NodeSpec {
  op: string;
  name: string;
  /** '' for ONNX itself. */
  domain: string;
  /** '' stands for an optional input that is left out. */
  inputs: readonly string[];
  outputs: readonly string[];
  attributes: Readonly<Record<string, Attribute>>;
}

export interface GraphSpec {
  name: string;
  inputs: readonly ValueSpec[];
  outputs: readonly ValueSpec[];
  initializers: readonly InitializerSpec[];
  nodes: readonly NodeSpec[];
  /** Operator set version by domain. */
  opsets: Readonly<Record<string, number>>;
}

const IR_VERSION = 10;
const ATTRIBUTE_TYPE = { float: 1, int: 2, string: 3, ints: 7 };
const DATA_LOCATION_EXTERNAL = 1;

/** The bytes of an ONNX model that holds this graph. The same graph gives the same bytes. */
export function encodeModel(graph: GraphSpec): Uint8Array {
  const w = new BinaryWriter();
  int(w, 1, IR_VERSION);
  text(w, 2, 'shardsieve');
  message(w, 7, () => writeGraph(w, graph));
  for (const [domain, version] of Object.entries(graph.opsets)) {
    message(w, 8, () => {
      text(w, 1, domain);
      int(w, 2, version);
    });
  }
  return w.finish();
}

function writeGraph(w: BinaryWriter, graph: GraphSpec): void {
  for (const node of graph.nodes) message(w, 1, () => writeNode(w, node));
  text(w, 2, graph.name);
  for (const tensor of graph.initializers) message(w, 5, () => writeInitializer(w, tensor));
  for (const value of graph.inputs) message(w, 11, () => writeValue(w, value));
  for (const value of graph.outputs) message(w, 12, () => writeValue(w, value));
}

function writeNode(w: BinaryWriter, node: NodeSpec): void {
  for (const name of node.inputs) text(w, 1, name);
  for (const name of node.outputs) text(w, 2, name);
  text(w, 3, node.name);
  text(w, 4, node.op);
  for (const [name, value] of Object.entries(node.attributes)) {
    message(w, 5, () => writeAttribute(w, name, value));
  }
  if (node.domain !== '') text(w, 7, node.domain);
}

function writeAttribute(w: BinaryWriter, name: string, value: Attribute): void {
  text(w, 1, name);
  if (typeof value === 'number') {
    int(w, 3, value);
    int(w, 20, ATTRIBUTE_TYPE.int);
  } else if ('float' in value) {
    w.tag(2, WireType.Bit32).float(value.float);
    int(w, 20, ATTRIBUTE_TYPE.float);
  } else if ('string' in value) {
    text(w, 4, value.string);
    int(w, 20, ATTRIBUTE_TYPE.string);
  } else {
    for (const item of value) int(w, 8, item);
    int(w, 20, ATTRIBUTE_TYPE.ints);
  }
}

function writeInitializer(w: BinaryWriter, tensor: InitializerSpec): void {
  for (const size of tensor.dims) int(w, 1, size);
  int(w, 2, ONNX_TYPE[tensor.type]);
  text(w, 8, tensor.name);
  if (tensor.data instanceof Uint8Array) {
    w.tag(9, WireType.LengthDelimited).bytes(tensor.data);
    return;
  }
  for (const key of ['location', 'offset', 'length'] as const) {
    const value = String(tensor.data[key]);
    message(w, 13, () => {
      text(w, 1, key);
      text(w, 2, value);
    });
  }
  int(w, 14, DATA_LOCATION_EXTERNAL);
}

function writeValue(w: BinaryWriter, value: ValueSpec): void {
  text(w, 1, value.name);
  message(w, 2, () =>
    message(w, 1, () => {
      int(w, 1, ONNX_TYPE[value.type]);
      message(w, 2, () => {
        for (const dim of value.dims) {
          message(w, 1, () => (typeof dim === 'number' ? int(w, 1, dim) : text(w, 2, dim)));
        }
      });
    }),
  );
}

function int(w: BinaryWriter, field: number, value: number): void {
  w.tag(field, WireType.Varint).int64(value);
}

function text(w: BinaryWriter, field: number, value: string): void {
  w.tag(field, WireType.LengthDelimited).string(value);
}

function message(w: BinaryWriter, field: number, write: () => void): void {
  w.tag(field, WireType.LengthDelimited).fork();
  write();
  w.join();
}
