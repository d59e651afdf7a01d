// @ts-check
/** One picture and its scores. */
import { hidden, previewOf } from './preview.js';

/** @typedef {import('./page.js').Item} Item */

/** Cosines of CLIP models lie mostly between these; a bar shows where in between. Where one lies above, bars go to 1. */
const LOW = -0.1;
const HIGH = 0.5;

/** @template {keyof HTMLElementTagNameMap} K @param {K} tag @param {Partial<HTMLElementTagNameMap[K]>} [properties]
 * @param {(Node | string)[]} [children] @returns {HTMLElementTagNameMap[K]} */
export function element(tag, properties = {}, children = []) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

/** @param {number} value */
export const digits = (value) => value.toFixed(4);

/** @param {Item} item @param {string[]} captions @returns {HTMLElement} */
export function card(item, captions) {
  const { file, state, scored } = item;
  const preview = element('div', { className: 'preview' }, [
    element('img', { src: previewOf(file), alt: file.name }),
  ]);
  if (hidden(item)) {
    preview.classList.add('hides');
    if (state === 'scored') {
      const reveal = element('button', { type: 'button', textContent: 'Show it' });
      reveal.addEventListener('click', () => {
        preview.classList.remove('hides');
        reveal.remove();
      });
      preview.append(reveal);
    }
  }
  const text = element('div');
  if (state === 'failed') {
    text.append(element('p', { className: 'problem', textContent: item.problem ?? '' }));
  } else if (scored === undefined) {
    text.append(element('p', { textContent: captions.length === 0 ? '' : 'scoring…' }));
  } else {
    text.append(
      element('ul', { className: 'scores' }, bars(captions, scored.scores)),
      element('ul', { className: 'tags' }, tagsOf(scored)),
      element('p', {
        className: 'about',
        textContent: `${scored.width} × ${scored.height} pixels · ${scored.model} · ${Math.round(scored.ms)} ms`,
      }),
    );
  }
  return element('article', { className: 'card' }, [preview, text]);
}

/** Best first. @param {string[]} captions @param {number[]} scores */
function bars(captions, scores) {
  const high = Math.max(...scores) > HIGH ? 1 : HIGH;
  return captions
    .map((caption, i) => ({ caption, score: scores[i] }))
    .sort((a, b) => b.score - a.score)
    .map(({ caption, score }) =>
      element('li', {}, [
        element('div', { className: 'line' }, [
          element('span', { textContent: caption }),
          element('span', { className: 'number', textContent: digits(score) }),
        ]),
        // The number stands beside it; a reader of screens need not hear it twice.
        element('meter', { min: LOW, max: high, value: score, ariaHidden: 'true' }),
      ]),
    );
}

/** @param {import('./api.js').Scored} scored */
function tagsOf({ tag, safety }) {
  const unsafe = tag !== undefined && tag !== 'UNLIKELY';
  const first = tag === undefined ? 'safety not judged' : `unsafe: ${tag.toLowerCase()}`;
  return [
    element('li', { textContent: first, className: unsafe ? 'unsafe' : '' }),
    ...safety.map(({ name, value }) => element('li', { textContent: `${name} ${value.toFixed(3)}` })),
  ];
}
