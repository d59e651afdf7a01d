import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SampleError } from '../../src/errors.ts';
import { memorySource } from '../../src/io/memory.ts';
import { boxesOf, type FaceOptions } from '../../src/subset/faces.ts';
import { withField } from '../../src/subset/json-field.ts';
import { reshard } from '../../src/subset/reshard.ts';
import { UidSet } from '../../src/uids/uid-set.ts';
import { parseUidText, type Uids, wordsOf } from '../../src/uids/uids.ts';
import { readSamples } from '../../src/webdataset/samples.ts';
import { MemoryFolder } from '../helpers/memory-folder.ts';
import { type Members, makeTar } from '../helpers/shards.ts';
import { makeUid } from '../helpers/tables.ts';

describe('a field set in the text of a JSON', () => {
  it('changes that field and nothing else', () => {
    const key = fc.oneof(fc.constantFrom('b', 'face_bboxes', 'a"}{', '\\'), fc.string());
    fc.assert(
      fc.property(
        fc.dictionary(key, fc.jsonValue()),
        fc.constantFrom(undefined, 1, '\t'),
        fc.array(fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }))),
        (object, indent, boxes) => {
          const text = JSON.stringify(object, null, indent);
          const set = JSON.parse(withField(text, 'face_bboxes', JSON.stringify(boxes))) as object;
          const wanted = JSON.parse(JSON.stringify({ ...object, face_bboxes: boxes })) as object;
          expect(set).toEqual(wanted);
        },
      ),
    );
  });

  it('leaves numbers, escapes and spaces as they are', () => {
    const text = ' { "n" : 12345678901234567890 , "x": 1.50e2,"s":"\\u00e9}" , "face_bboxes" : null }\n';
    expect(withField(text, 'face_bboxes', '[[1]]')).toBe(text.replace('null', '[[1]]'));
    expect(withField('{"n": 1.0}', 'face_bboxes', '[]')).toBe('{"n": 1.0, "face_bboxes": []}');
  });
});

describe('boxes', () => {
  it.each([
    [null, []],
    [[], []],
    [[[0.1, 0.2, 0.3, 0.4]], [[0.1, 0.2, 0.3, 0.4]]],
    [[[-0.5, 0.2, 0.3, 1.4]], [[-0.5, 0.2, 0.3, 1.4]]],
    [[[0.5, 0.5, 0.5, 0.5]], [[0.5, 0.5, 0.5, 0.5]]],
  ])('%j are taken', (value, boxes) => {
    expect(boxesOf(value)).toEqual(boxes);
  });

  it.each([
    ['text', /is "text" and no list/],
    [{}, /no list/],
    [[0.1, 0.2, 0.3, 0.4], /is not four numbers/],
    [[[0.1, 0.2, 0.3]], /is not four numbers/],
    [[[0.1, 0.2, 0.3, '0.4']], /is not four numbers/],
    [[[0.1, 0.2, 0.3, null]], /is not four numbers/],
    [[[0.1, Number.NaN, 0.3, 0.4]], /has a number that is none/],
    [[[0.1, 0.2, Number.POSITIVE_INFINITY, 0.4]], /has a number that is none/],
    [[[0.5, 0.2, 0.3, 0.4]], /has its corners swapped/],
    [[[34, 50, 120, 200]], /lies outside of the picture/],
    [
      [
        [0.1, 0.1, 0.2, 0.2],
        [-3, 0, -2, 1],
      ],
      /\[-3,0,-2,1\] lies outside of the picture/,
    ],
  ])('%j are refused, and it is said why', (value, why) => {
    expect(boxesOf(value)).toMatch(why);
  });
});

const boxes = [[0.1, 0.1, 0.5, 0.5]];
const uids = Array.from({ length: 8 }, (_, i) => makeUid(i));
const blur = async (picture: Uint8Array): Promise<Uint8Array> => {
  const text = new TextDecoder().decode(picture);
  if (text.includes('broken')) throw new SampleError('undecodable_image', 'it is broken');
  return new TextEncoder().encode(`blurred ${text}`);
};
const sample = (i: number, more: object, members: Members = [[`${i}.jpg`, `picture ${i}`]]): Members => [
  ...members,
  [`${i}.json`, JSON.stringify({ uid: uids[i], ...more })],
];

async function run(samples: Members[], faces: FaceOptions, ids = uids) {
  const list: Uids = new BigUint64Array(2 * ids.length);
  for (const [i, uid] of ids.entries()) parseUidText(uid, wordsOf(list), i);
  const folder = new MemoryFolder();
  const input = { shard: '7', source: memorySource('7.tar', await makeTar(samples.flat())) };
  const report = await reshard([input], new UidSet(list), folder, { faces });
  const written: { [member: string]: string } = {};
  const tar = folder.files.get('00000000.tar');
  if (tar !== undefined) {
    for await (const { members } of readSamples(memorySource('o', tar).stream(), { shard: 'o' }))
      for (const { name, bytes } of members) written[name] = new TextDecoder().decode(bytes);
  }
  return { report, written };
}

describe('faces', () => {
  it('are blurred by the boxes in the JSON, pictures without any are verbatim', async () => {
    const { report, written } = await run(
      [
        sample(0, { face_bboxes: boxes }),
        sample(1, { face_bboxes: [] }),
        sample(2, { face_bboxes: null }),
        sample(3, {}),
      ],
      { blur },
    );
    expect(Object.keys(written)).toEqual([
      '0.webp',
      '0.json',
      '1.jpg',
      '1.json',
      '2.jpg',
      '2.json',
      '3.jpg',
      '3.json',
    ]);
    expect([written['0.webp'], written['1.jpg']]).toEqual(['blurred picture 0', 'picture 1']);
    expect(report.faces).toEqual({ blurred: 1, boxes: 1, injected: 0, unknown: 0, pictures: 0 });
  });

  it('do not show in a second picture of the sample', async () => {
    const two: Members = [
      ['0.txt', 'words'],
      ['0.png', 'png'],
      ['0.jpg', 'jpg'],
    ];
    const { report, written } = await run([sample(0, { face_bboxes: boxes }, two)], { blur });
    expect(Object.keys(written)).toEqual(['0.txt', '0.webp', '0.json']);
    expect(written['0.webp']).toBe('blurred jpg');
    expect(report.faces?.pictures).toBe(1);
  });

  it('that cannot be blurred keep their sample out, counted and named', async () => {
    const { report, written } = await run(
      [
        sample(0, { face_bboxes: 'x' }),
        sample(1, { face_bboxes: [[1, 2]] }),
        sample(2, { face_bboxes: boxes }, [['2.jpg', 'broken']]),
        sample(3, { face_bboxes: boxes }, [['3.txt', 'no picture']]),
        sample(4, { face_bboxes: boxes }),
      ],
      { blur },
    );
    expect(Object.keys(written)).toEqual(['4.webp', '4.json']);
    expect(report).toMatchObject({
      ...{ seen: 5, kept: 1, dropped: 4 },
      damaged: { bad_face_bboxes: 2, undecodable_image: 1, no_image: 1 },
    });
    expect(report.leftOut.map(({ shard, key, reason }) => [shard, key, reason])).toEqual([
      ['7', '0', 'bad_face_bboxes'],
      ['7', '1', 'bad_face_bboxes'],
      ['7', '2', 'undecodable_image'],
      ['7', '3', 'no_image'],
    ]);
    expect(report.notFound.count).toBe(7);
  });

  it('come from metadata where that is given, and what it does not know is counted', async () => {
    const said = new Map<string, unknown>([
      [uids[0], boxes],
      [uids[1], null],
    ]);
    const table = { get: (uid: string) => said.get(uid) };
    const samples = [sample(0, {}), sample(1, { face_bboxes: boxes }), sample(2, { face_bboxes: boxes })];
    const { report, written } = await run(samples, { table, blur, inject: true });
    expect(Object.keys(written)).toEqual(['0.webp', '0.json', '1.jpg', '1.json', '2.jpg', '2.json']);
    expect(JSON.parse(written['0.json'])).toEqual({ uid: uids[0], face_bboxes: boxes });
    expect(report.faces).toEqual({ blurred: 1, boxes: 1, injected: 1, unknown: 1, pictures: 0 });
  });
});
