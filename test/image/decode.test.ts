import { describe, expect, it } from 'vitest';
import { createDecoder } from '../../cli/decode/decoder.ts';
import { type Golden, goldens, look, pictureBytes } from './support.ts';

const decoder = createDecoder();

function expected({ width, height, sha256 }: Golden): unknown {
  return sha256 === undefined ? 'undecodable_image' : { width, height, sha256 };
}

describe('the pixels of Image.open(f).convert("RGB")', () => {
  it('has goldens of every kind', () => {
    expect(goldens.length).toBeGreaterThan(100);
    expect(goldens.filter((golden) => golden.refused).length).toBeGreaterThan(5);
  });

  it.each(goldens)('$file', async (golden) => {
    expect(await look(decoder, pictureBytes(golden.file))).toEqual(expected(golden));
  });
});

describe('a file that is cut short', () => {
  it.each(goldens.filter((golden) => golden.cutsRefused))(
    '$file is refused where Pillow refuses it',
    async (golden) => {
      const bytes = pictureBytes(golden.file);
      const accepted: number[] = [];
      for (const length of [...golden.cutsRefused!, ...golden.cutsAccepted!]) {
        const seen = await look(decoder, bytes.slice(0, length));
        if (typeof seen === 'string') expect(seen).toBe('undecodable_image');
        else {
          // Whatever is cut off after the picture cannot change it.
          expect(seen).toEqual(expected(golden));
          accepted.push(length);
        }
      }
      expect(accepted).toEqual(golden.cutsAccepted);
    },
  );
});

describe('fit visual', () => {
  it.each(goldens.filter((golden) => golden.sha256))('$file is turned and laid on white', async (golden) => {
    const { width, height, sha256 } = golden;
    const want = golden.visual ?? { width, height, sha256 };
    expect(await look(decoder, pictureBytes(golden.file), 'visual')).toEqual(want);
  });

  it('differs from the default on some of them', () => {
    expect(goldens.filter((golden) => golden.visual).length).toBeGreaterThan(10);
  });
});

it('decodes several pictures at once to the same pixels', async () => {
  const some = goldens.filter((golden) => golden.sha256).slice(0, 24);
  const seen = await Promise.all(some.map((golden) => look(decoder, pictureBytes(golden.file))));
  expect(seen).toEqual(some.map(expected));
});
