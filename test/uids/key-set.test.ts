import { expect, test } from 'vitest';
import { KeySet, textKey } from '../../src/uids/key-set.ts';

test('texts that differ a little have keys of their own, and each is met once', () => {
  const words = new Uint32Array(4);
  const keys = new KeySet();
  const texts = new Set<string>();
  for (let i = 0; i < 60_000; i++) {
    texts
      .add(`https://example.com/${i}.jpg`)
      .add(`${i}`)
      .add(`\0${i}`)
      .add(`${'a'.repeat(i % 300)}${i >> 8}猫`);
  }
  for (let pass = 0; pass < 2; pass++) {
    let fresh = 0;
    for (const text of texts) {
      textKey(text, words, 0);
      if (keys.add(words, 0)) fresh++;
    }
    expect(fresh).toBe(pass === 0 ? texts.size : 0);
  }
  expect(keys.size).toBe(texts.size);
});
