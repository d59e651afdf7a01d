import { BinaryReader } from '@bufbuild/protobuf/wire';
import { describe, expect, it } from 'vitest';
import { ModelError } from '../../src/errors.ts';
import { Graph, reshaped, rows, weightRef } from '../../src/onnx/graph.ts';
import { encodeModel } from '../../src/onnx/proto.ts';

/** The fields of a message by number, submessages as bytes. */
function fields(bytes: Uint8Array): Map<number, unknown[]> {
  const reader = new BinaryReader(bytes);
  const found = new Map<number, unknown[]>();
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    const value = type === 0 ? reader.int64() : type === 2 ? reader.bytes() : reader.float();
    found.set(field, [...(found.get(field) ?? []), value]);
  }
  return found;
}
const text = (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array);
const sub = (bytes: unknown) => fields(bytes as Uint8Array);

const entry = { name: 'w', dtype: 'F32', shape: [6, 2], offset: 5_000_000_123, length: 48 } as const;

describe('weights as views', () => {
  it('takes rows and other shapes without moving bytes', () => {
    const weight = weightRef(entry, 'f');
    expect(rows(weight, 2, 4, 'k')).toEqual({
      name: 'w.k',
      dtype: 'F32',
      shape: [2, 2],
      offset: 5_000_000_123 + 16,
      length: 16,
    });
    expect(reshaped(weight, [12])).toMatchObject({ shape: [12], offset: 5_000_000_123, length: 48 });
  });

  it('refuses by name a type that cannot be run', () => {
    expect(() => weightRef({ ...entry, dtype: 'I64' }, 'f')).toThrow(ModelError);
    expect(() => weightRef({ ...entry, dtype: 'I64' }, 'f')).toThrow(/I64.*file f, tensor w/);
  });
});

describe('Graph', () => {
  it('writes external data with offsets past 4 GiB, each weight once', () => {
    const graph = new Graph('g', 'blob');
    const x = graph.input('x', 'float32', ['n', 2]);
    const weight = weightRef(entry, 'f');
    const y = graph.node('Gemm', [x, graph.weight(weight)], { transB: 1 });
    const z = graph.node('Gemm', [y, graph.weight(weight)]);
    graph.output('z', z, 'float32', ['n', 2]);
    const main = sub(fields(graph.finish()).get(7)?.[0]);
    expect(main.get(5)).toHaveLength(1);
    const initializer = sub(main.get(5)?.[0]);
    expect(initializer.get(1)).toEqual([6n, 2n]);
    expect(initializer.get(14)).toEqual([1n]);
    const external = (initializer.get(13) ?? []).map((item) => [...sub(item).values()].map(([v]) => text(v)));
    expect(external).toEqual([
      ['location', 'blob'],
      ['offset', '5000000123'],
      ['length', '48'],
    ]);
  });

  it('widens half types once, by a Cast', () => {
    const graph = new Graph('g', 'blob');
    const half = weightRef({ ...entry, dtype: 'BF16', length: 24 }, 'f');
    expect(graph.weight(half)).toBe(graph.weight(half));
    const main = sub(fields(graph.finish()).get(7)?.[0]);
    expect(main.get(1)).toHaveLength(1);
    expect(text(sub(main.get(1)?.[0]).get(4)?.[0])).toBe('Cast');
    expect(sub(main.get(5)?.[0]).get(2)).toEqual([16n]);
  });

  it('gives the same bytes for the same graph', () => {
    const build = () => {
      const graph = new Graph('g', 'blob');
      graph.output('y', graph.node('Relu', [graph.input('x', 'float32', ['n'])]), 'float32', ['n']);
      return graph.finish();
    };
    expect(build()).toEqual(build());
  });
});

describe('encodeModel', () => {
  it('writes every kind of attribute with its type', () => {
    const bytes = encodeModel({
      name: 'g',
      inputs: [],
      outputs: [],
      initializers: [],
      nodes: [
        {
          op: 'Op',
          name: 'o',
          domain: 'com.microsoft',
          inputs: ['a', '', 'b'],
          outputs: ['c'],
          attributes: { i: -1, f: { float: 0.5 }, s: { string: 'é' }, list: [1, -2] },
        },
      ],
      opsets: { '': 20 },
    });
    const node = sub(sub(fields(bytes).get(7)?.[0]).get(1)?.[0]);
    expect(node.get(1)?.map(text)).toEqual(['a', '', 'b']);
    expect(text(node.get(7)?.[0])).toBe('com.microsoft');
    const [i, f, s, list] = (node.get(5) ?? []).map(sub);
    expect([i.get(3), i.get(20)]).toEqual([[-1n], [2n]]);
    expect([f.get(2), f.get(20)]).toEqual([[0.5], [1n]]);
    expect([text(s.get(4)?.[0]), s.get(20)]).toEqual(['é', [3n]]);
    expect([list.get(8), list.get(20)]).toEqual([[1n, -2n], [7n]]);
  });
});
