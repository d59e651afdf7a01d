// @ts-check
/** Many pictures, a row each. */
import { digits, element } from './card.js';
import { hidden, previewOf } from './preview.js';

/** @typedef {import('./page.js').Item} Item */

/** @param {string[]} captions @returns {HTMLElement[]} */
export function tableHead(captions) {
  return ['', 'Picture', ...captions, 'Unsafe', 'ms'].map((textContent) =>
    Object.assign(element('th', { textContent }), { scope: 'col' }),
  );
}

/** @param {Item} item @param {string[]} captions @returns {HTMLTableRowElement} */
export function rowOf(item, captions) {
  const { file, state, scored } = item;
  const preview = element('div', { className: hidden(item) ? 'preview hides' : 'preview' }, [
    element('img', { src: previewOf(file), alt: '' }),
  ]);
  const cells = [element('td', { className: 'thumb' }, [preview]), element('td', { textContent: file.name })];
  if (scored !== undefined) {
    cells.push(
      ...scored.scores.map((score) => element('td', { className: 'number', textContent: digits(score) })),
      element('td', { textContent: scored.tag?.toLowerCase() ?? '–' }),
      element('td', { className: 'number', textContent: String(Math.round(scored.ms)) }),
    );
  } else {
    const textContent = state === 'failed' ? (item.problem ?? '') : '…';
    const className = state === 'failed' ? 'problem' : '';
    cells.push(element('td', { colSpan: captions.length + 2, textContent, className }));
  }
  return element('tr', {}, cells);
}
