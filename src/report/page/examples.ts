import type { SafetyReport } from '../types.ts';
import { escaped, number, threshold } from './html.ts';

/** A row to show, with leave. */
export interface ShownExample {
  uid: string;
  score: number;
  caption: string | null;
  /** A `data:` URI; `undefined` where no shard has it, or it cannot be decoded. */
  picture: string | undefined;
}

/** What stands at the edge of the threshold. Captions, and pictures that are not blurred, are shown on a click. */
export function examplesSection(
  { examples }: SafetyReport,
  shown: readonly (readonly ShownExample[])[] = [],
): string {
  if (examples === null) return '';
  const isClear = examples.pictures === 'clear';
  const how = {
    none: 'Without pictures: no shards were given.',
    blurred:
      'Pictures are blurred before they are written: each has twelve pixels on its longer side, and no more of it is in this file.',
    clear: 'Pictures are as they are, folded away. Some of them may be disturbing.',
  }[examples.pictures];
  const sets = examples.sets.map(({ title }, s) => {
    const items = (shown[s] ?? []).map(({ uid, score, caption, picture }) => {
      const image =
        picture === undefined
          ? ''
          : `<img src="${escaped(picture)}" alt="${isClear ? 'picture' : 'blurred picture'} of ${escaped(uid)}">`;
      const folded =
        image !== '' && isClear ? `<details><summary>picture</summary>${image}</details>` : image;
      const words =
        caption === null ? '' : `<details><summary>caption</summary><bdi>${escaped(caption)}</bdi></details>`;
      return `<li>${folded}<strong>${number(score)}</strong> <span class="soft">${escaped(uid)}</span>${words}</li>`;
    });
    return `<h3>${escaped(title)}</h3>${items.length > 0 ? `<ul class="examples">${items.join('')}</ul>` : '<p>None.</p>'}`;
  });
  return `<h2>At the threshold</h2><p>${escaped(examples.measure)} at ${threshold(examples.threshold)}. ${how}</p>${sets.join('')}`;
}
