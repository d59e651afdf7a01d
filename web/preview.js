// @ts-check
/** Pictures of this browser, shown to it: nothing is fetched for them. */

/** @typedef {import('./page.js').Item} Item */

/** @type {Map<File, string>} */
const urls = new Map();

/** @param {File} file @returns {string} */
export function previewOf(file) {
  let url = urls.get(file);
  if (url === undefined) {
    url = URL.createObjectURL(file);
    urls.set(file, url);
  }
  return url;
}

/** Gives the previews' memory back. */
export function dropPreviews() {
  for (const url of urls.values()) URL.revokeObjectURL(url);
  urls.clear();
}

/** A picture is shown blurred until it is known to be safe; where nothing judges safety, once it is scored.
 * @param {Item} item @returns {boolean} */
export function hidden({ state, scored }) {
  if (state !== 'scored' || scored === undefined) return true;
  return scored.tag !== undefined && scored.tag !== 'UNLIKELY';
}
