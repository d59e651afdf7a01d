/**
 * The constants of a SavedModel's graph: the lookup tables lie there and nowhere else. Only the top level is read,
 * nodes by name, kind and inputs; no function of the graph is looked into, let alone run. Field numbers from
 * TensorFlow's saved_model, meta_graph, graph, node_def, attr_value and tensor .proto files.
 */
import { shapeOf } from './bundle.ts';
import { fields, messages, numberField, numbers, textField } from './proto.ts';

const DT_FLOAT = 1;
const DT_STRING = 7;
const DT_INT64 = 9;
/** LAION's graphs have 84 nodes at the top. */
const MAX_NODES = 100_000;
/** LAION's largest table has 10,425 keys. */
const MAX_VALUES = 1_000_000;

export interface Table {
  keys: string[];
  values: number[];
  /** The number for a text that is no key. */
  otherwise: number;
}

export interface ServingConstants {
  /** Of the encoded components, in their order. */
  tables: Table[];
  /** The float constants that the model is called with, in their order: mean and variance of the normalisation. */
  floats: Float32Array[];
}

interface Node {
  op: string;
  inputs: string[];
  /** TensorProto of a Const. */
  tensor?: Uint8Array;
}

/**
 * What the serving function is called with, besides variables. A table is the input that some other node is called
 * with together with two constants, its keys and values; the input after it is the number for unknown keys.
 * Throws `Error` where the graph is not of that form.
 */
export function servingConstants(savedModel: Uint8Array): ServingConstants {
  const nodes = readNodes(savedModel);
  const serving = [...nodes.values()].filter(
    ({ op, inputs }) =>
      /^(Stateful)?PartitionedCall$/.test(op) &&
      nodes.get(inputs[0])?.op === 'Placeholder' &&
      inputs[0].startsWith('serving_default_'),
  );
  if (serving.length !== 1) throw new Error(`the graph has ${serving.length} serving functions`);
  const inputs = serving[0].inputs.slice(1);
  const filled = filledTables(nodes);
  const constants: ServingConstants = { tables: [], floats: [] };
  for (const [i, name] of inputs.entries()) {
    const node = nodes.get(name);
    if (node?.tensor !== undefined && numberField(node.tensor, 1) === DT_FLOAT)
      constants.floats.push(floatsOf(node.tensor));
    const table = filled.get(name);
    if (table === undefined) continue;
    const otherwise = nodes.get(inputs[i + 1] ?? '')?.tensor;
    if (otherwise === undefined || numberField(otherwise, 1) !== DT_INT64)
      throw new Error(`the table ${name} has no number for unknown keys`);
    constants.tables.push({ ...table, otherwise: intsOf(otherwise)[0] });
  }
  return constants;
}

/** Tables by the name of their node: what some node is given together with keys and as many values. */
function filledTables(nodes: Map<string, Node>): Map<string, Omit<Table, 'otherwise'>> {
  const tables = new Map<string, Omit<Table, 'otherwise'>>();
  for (const { inputs } of nodes.values()) {
    const [keys, values] = inputs.slice(1).map((input) => nodes.get(input)?.tensor);
    if (inputs.length !== 3 || keys === undefined || values === undefined) continue;
    if (numberField(keys, 1) !== DT_STRING || numberField(values, 1) !== DT_INT64) continue;
    const table = { keys: textsOf(keys), values: intsOf(values) };
    if (table.keys.length !== table.values.length)
      throw new Error(
        `the table ${inputs[0]} has ${table.keys.length} keys and ${table.values.length} values`,
      );
    tables.set(inputs[0], table);
  }
  return tables;
}

function readNodes(savedModel: Uint8Array): Map<string, Node> {
  const metaGraphs = messages(savedModel, 2);
  if (metaGraphs.length !== 1) throw new Error(`saved_model.pb holds ${metaGraphs.length} graphs, not one`);
  const definition = messages(metaGraphs[0], 2).at(-1);
  if (definition === undefined) throw new Error('saved_model.pb holds no graph');
  const nodes = new Map<string, Node>();
  for (const message of messages(definition, 1)) {
    if (nodes.size > MAX_NODES) throw new Error('the graph has too many nodes');
    const op = textField(message, 2);
    const inputs = messages(message, 3).map((bytes) => new TextDecoder().decode(bytes));
    const tensor = op === 'Const' ? constantOf(message) : undefined;
    nodes.set(textField(message, 1), { op, inputs, ...(tensor === undefined ? {} : { tensor }) });
  }
  return nodes;
}

/** The attribute `value`, AttrValue.tensor. */
function constantOf(node: Uint8Array): Uint8Array | undefined {
  for (const entry of messages(node, 5)) {
    if (textField(entry, 1) !== 'value') continue;
    const value = messages(entry, 2).at(-1);
    return value === undefined ? undefined : messages(value, 8).at(-1);
  }
  return undefined;
}

function countOf(tensor: Uint8Array): number {
  const count = shapeOf(messages(tensor, 2).at(-1)).reduce((product, n) => product * n, 1);
  if (count > MAX_VALUES) throw new Error(`a constant of ${count} values`);
  return count;
}

/** Raw content, else values of which the last stands for all that are left out. */
function floatsOf(tensor: Uint8Array): Float32Array {
  const count = countOf(tensor);
  const content = messages(tensor, 4).at(-1);
  if (content?.length !== 4 * count) throw new Error(`a float constant does not have ${count} values`);
  return new Float32Array(content.slice().buffer);
}

function intsOf(tensor: Uint8Array): number[] {
  const count = countOf(tensor);
  if (numberField(tensor, 1) !== DT_INT64) throw new Error('a table has values that are no int64');
  const content = messages(tensor, 4).at(-1);
  if (content?.length === 8 * count) return Array.from(new BigInt64Array(content.slice().buffer), Number);
  const listed = numbers(tensor, 10);
  if (listed.length === 0 || listed.length > count)
    throw new Error(`an integer constant does not have ${count} values`);
  return Array.from({ length: count }, (_, i) => listed[Math.min(i, listed.length - 1)]);
}

function textsOf(tensor: Uint8Array): string[] {
  if (numberField(tensor, 1) !== DT_STRING) throw new Error('a table has keys that are no text');
  const texts: string[] = [];
  const decoder = new TextDecoder('utf-8', { fatal: true });
  fields(tensor, (field, value) => {
    if (field === 8 && value instanceof Uint8Array) texts.push(decoder.decode(value));
  });
  if (texts.length !== countOf(tensor)) throw new Error('a table has fewer keys than it says');
  return texts;
}
