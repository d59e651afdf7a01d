import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { SampleError } from '../../src/errors.ts';
import { encodeName } from '../../src/tar/format.ts';
import { type PairOptions, toPair, uidFromKey, uidIfKnown } from '../../src/webdataset/pair.ts';
import type { RawSample } from '../../src/webdataset/samples.ts';

type Content = string | Uint8Array;

function sample(members: { [ext: string]: Content }, key = 'dir/0001'): RawSample {
  return {
    key,
    offset: 0,
    ranges: [],
    place: { offset: 0, globals: {} },
    members: Object.entries(members).map(([ext, content]) => ({
      ext,
      name: `${key}.${ext}`,
      bytes: typeof content === 'string' ? encodeName(content) : content,
      gz: ext.endsWith('gz'),
      mtime: 0,
    })),
  };
}

const pair = (members: { [ext: string]: Content }, options: Partial<PairOptions> = {}) =>
  toPair(sample(members), { shardBase: '00000', ...options });

function refusal(members: { [ext: string]: Content }, options: Partial<PairOptions> = {}): string {
  try {
    pair(members, options);
  } catch (error) {
    expect(error).toBeInstanceOf(SampleError);
    expect((error as SampleError).where.key).toBe('dir/0001');
    return (error as SampleError).reason;
  }
  return 'none';
}

const UID = '0123456789abcdef0123456789abcdef';
const unpaired = '\ud83d';

describe('what is taken', () => {
  test('everything the JSON says', () => {
    const json = JSON.stringify({
      uid: UID,
      url: 'http://x/y.jpg',
      caption: 'not this',
      original_width: 640,
      original_height: 480,
      sha256: 'ab',
      face_bboxes: [[0, 0.1, 0.5, 1]],
      exif: { Make: 'K', __proto__: 1 },
    });
    expect(
      pair({ jpg: 'J', txt: ' a dog\n', json }, { carry: ['json:exif.Make', 'url', 'nothing'] }),
    ).toEqual({
      uid: UID,
      key: 'dir/0001',
      caption: ' a dog\n',
      image: encodeName('J'),
      imageExt: 'jpg',
      url: 'http://x/y.jpg',
      originalWidth: 640,
      originalHeight: 480,
      sha256: 'ab',
      faceBboxes: [[0, 0.1, 0.5, 1]],
      carried: { 'exif.Make': 'K', url: 'http://x/y.jpg', nothing: null },
    });
  });

  test('without JSON, the uid is the start of SHA-256 of shard and key', () => {
    // Python: hashlib.sha256('00000/dir/0001'.encode()).hexdigest()[:32]
    expect(pair({ jpg: '', txt: 'x' })).toMatchObject({
      uid: '0ed22bfd1e827d0d9282cc56b964ef05',
      url: null,
      originalWidth: undefined,
    });
    // Python: hashlib.sha256(b'00000/b\xff').hexdigest()[:32]
    expect(uidFromKey('00000', 'b\udcff')).toBe('319e9ed4f6c686f9c1cf176cd8febc3e');
  });

  test('the picture in the order jpg, png, jpeg, webp, gif; plain before packed', () => {
    expect(pair({ gif: 'g', webp: 'w', txt: 't' }).imageExt).toBe('webp');
    expect(pair({ jpeg: 'e', png: 'p', 'jpg.gz': gzipSync('j'), txt: 't' })).toMatchObject({
      imageExt: 'jpg.gz',
      image: encodeName('j'),
    });
    expect(pair({ 'txt.gz': gzipSync('packed'), txt: 'plain', gif: '' }).caption).toBe('plain');
    expect(pair({ 'txt.gz': gzipSync('packed'), gif: '' }).caption).toBe('packed');
  });

  test('captions: txt, else the JSON, or the field asked for; a byte order mark stays', () => {
    const json = '{"caption":"from json","a":{"b":"deep"},"a.c":"dotted"}';
    expect(pair({ jpg: '', txt: '\ufefftext', json }).caption).toBe('\ufefftext');
    expect(pair({ jpg: '', json }).caption).toBe('from json');
    expect(pair({ jpg: '', txt: 'text', json }, { caption: 'json:a.b' }).caption).toBe('deep');
    expect(pair({ jpg: '', txt: 'text', json }, { caption: 'json:a.c' }).caption).toBe('dotted');
  });

  test('uids: upper case is the same number, another field, or the key', () => {
    expect(pair({ jpg: '', txt: 'x', json: `{"uid":"${UID.toUpperCase()}"}` }).uid).toBe(UID);
    expect(pair({ jpg: '', txt: 'x', json: `{"meta":{"id":"${UID}"}}` }, { uid: 'json:meta.id' }).uid).toBe(
      UID,
    );
    expect(pair({ jpg: '', txt: 'x', json: `{"uid":"${UID}"}` }, { uid: 'key' }).uid).toBe(
      uidFromKey('00000', 'dir/0001'),
    );
  });

  test("Python's NaN and Infinity, a byte order mark, and strings that look like them", () => {
    const json = `\ufeff{"uid":"${UID}","original_width":NaN,"original_height":-Infinity,"url":"NaN \\" Infinity","x":[Infinity,NaN]}`;
    expect(pair({ jpg: '', txt: 'x', json }, { carry: ['x'] })).toMatchObject({
      originalWidth: undefined,
      originalHeight: undefined,
      url: 'NaN " Infinity',
      carried: { x: [null, null] },
    });
    expect(refusal({ jpg: '', json: '{"caption":NaN}' })).toBe('no_caption');
  });

  test('a JSON cannot reach what is not its own', () => {
    const json = '{"__proto__":{"url":"x","uid":1},"caption":"c"}';
    expect(pair({ jpg: '', json }, { carry: ['__proto__', 'toString', '__proto__.url'] })).toMatchObject({
      url: null,
      carried: JSON.parse('{"__proto__":{"url":"x","uid":1},"toString":null,"__proto__.url":"x"}'),
    });
    expect(({} as { url?: string }).url).toBeUndefined();
  });

  test.each([[0], [-3], [1.5], ['"640"'], ['null'], ['true'], ['1e300']])(
    'a width of %s is none',
    (width) => {
      expect(pair({ jpg: '', txt: 'x', json: `{"original_width":${width}}` }).originalWidth).toBeUndefined();
    },
  );

  test.each(['null', '[[1,2,3]]', '[[1,2,3,"4"]]', '{}', '[1,2,3,4]', '[[1,2,3,NaN]]', '"[]"'])(
    'faces %s are none',
    (faces) => {
      expect(pair({ jpg: '', txt: 'x', json: `{"face_bboxes":${faces}}` }).faceBboxes).toBeNull();
    },
  );
});

describe('what is refused, by one reason', () => {
  const ok = { jpg: '', txt: 'x' };
  const cases: [string, string, { [ext: string]: Content }, Partial<PairOptions>?][] = [
    ['no picture', 'no_image', { txt: 'x', 'seg.png': '' }],
    ['no caption at all', 'no_caption', { jpg: '' }],
    ['a JSON without caption', 'no_caption', { jpg: '', json: '{}' }],
    ['a caption of null', 'no_caption', { jpg: '', json: '{"caption":null}' }],
    ['a caption that is a number', 'no_caption', { jpg: '', json: '{"caption":5}' }],
    ['a field that is not there', 'no_caption', ok, { caption: 'json:alt' }],
    ['nothing', 'empty_caption', { jpg: '', txt: '' }],
    ["Python's whitespace", 'empty_caption', { jpg: '', txt: ' \t\n\u001c\u0085\u00a0\u3000' }],
    ['a book', 'caption_too_long', { jpg: '', txt: 'a'.repeat(65_537) }],
    ['latin-1', 'caption_not_utf8', { jpg: '', txt: Uint8Array.of(0x63, 0xe9) }],
    ['JSON cut off', 'bad_json', { ...ok, json: '{"uid":' }],
    ['a JSON list', 'bad_json', { ...ok, json: '[]' }],
    ['JSON in latin-1', 'bad_json', { ...ok, json: Uint8Array.of(0x7b, 0x22, 0xe9, 0x22, 0x3a, 0x31, 0x7d) }],
    ['words that Python refuses too', 'bad_json', { ...ok, json: '{"a":undefined}' }],
    [
      'nesting without end',
      'bad_json',
      { ...ok, json: `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}` },
      { carry: ['a'] },
    ],
    ['a short uid', 'bad_uid', { ...ok, json: '{"uid":"abc"}' }],
    ['a uid with a letter past f', 'bad_uid', { ...ok, json: `{"uid":"g${UID.slice(1)}"}` }],
    ['a uid that is a number', 'bad_uid', { ...ok, json: '{"uid":12}' }],
    ['a uid field that is not there', 'bad_uid', ok, { uid: 'json:id' }],
    [
      'a damaged packed caption',
      'bad_member',
      { jpg: '', 'txt.gz': new Uint8Array(gzipSync('caption')).fill(9, 12) },
    ],
    [
      'a cut packed caption',
      'bad_member',
      { jpg: '', 'txt.gz': new Uint8Array(gzipSync('caption '.repeat(99))).slice(0, -12) },
    ],
    ['a packed caption that is not', 'bad_member', { jpg: '', 'txt.gz': 'plain' }],
    [
      'a bomb',
      'member_too_large',
      { jpg: '', 'txt.gz': gzipSync(Buffer.alloc(5_000_000)) },
      { caps: { text: 4_000_000 } },
    ],
  ];
  test.each(cases)('%s: %s', (_, reason, members, options) => {
    expect(refusal(members, options)).toBe(reason);
  });

  test('a byte order mark alone is a caption, as in Python', () => {
    expect(pair({ jpg: '', txt: '\ufeff' }).caption).toBe('\ufeff');
  });

  test("the sample's own problem comes first, and its uid is known where it can be", () => {
    const broken = {
      ...sample({ json: `{"uid":"${UID}"}` }),
      problem: { reason: 'repeated_key' as const, detail: 'd' },
    };
    expect(() => toPair(broken, { shardBase: '0' })).toThrow(
      expect.objectContaining({ reason: 'repeated_key' }),
    );
    expect(uidIfKnown(broken, { shardBase: '0' })).toBe(UID);
    expect(uidIfKnown(sample({ json: '{' }), { shardBase: '0' })).toBeUndefined();
    expect(uidIfKnown(sample({}), { shardBase: '0' })).toBe(uidFromKey('0', 'dir/0001'));
  });

  test('a caption with half a surrogate pair is taken as it is', () => {
    expect(pair({ jpg: '', json: '{"caption":"x\\ud83d"}' }).caption).toBe(`x${unpaired}`);
  });
});
