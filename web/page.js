// @ts-check
/** The page that tries the API out: pictures and captions in, scores out. */
import { describe, ProblemError, score } from './api.js';
import { card } from './card.js';
import { download, toCsv } from './csv.js';
import { dropPreviews } from './preview.js';
import { rowOf, tableHead } from './table.js';

/** @typedef {import('./api.js').Scored} Scored */
/** @typedef {{ file: File, state: 'waiting' | 'scored' | 'failed', scored?: Scored, problem?: string }} Item */

/** Pictures asked about at a time: a browser has six connections to a server, one is left for the page. */
const AT_ONCE = 4;

/** @template {HTMLElement} T @param {string} id @param {new () => T} kind @returns {T} */
function part(id, kind) {
  const found = document.getElementById(id);
  if (found instanceof kind) return found;
  throw new Error(`the page has no ${id}`);
}

const form = part('form', HTMLFormElement);
const drop = part('drop', HTMLLabelElement);
const files = part('files', HTMLInputElement);
const captions = part('captions', HTMLTextAreaElement);
const model = part('model', HTMLSelectElement);
const key = part('key', HTMLInputElement);
const keyField = part('key-field', HTMLLabelElement);
const status = part('status', HTMLParagraphElement);
const cards = part('cards', HTMLElement);
const many = part('many', HTMLElement);

/** @type {Item[]} */
let items = [];
let work = new AbortController();

/** @returns {string[]} */
const lines = () =>
  captions.value
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');

/** @param {string} text @param {boolean} [bad] */
function say(text, bad = false) {
  status.textContent = text;
  status.classList.toggle('bad', bad);
}

/** What was scored last: what a CSV holds, whatever is being typed meanwhile. @type {string[]} */
let asked = [];

async function scoreAll() {
  work.abort();
  const here = new AbortController();
  work = here;
  asked = lines();
  if (items.length === 0) return say('Add a picture first.');
  if (asked.length === 0) {
    show();
    captions.focus();
    return say('Write a caption, and press Score.');
  }
  for (const item of items) Object.assign(item, { state: 'waiting', scored: undefined, problem: undefined });
  show();
  const started = performance.now();
  const queue = [...items];
  const next = async () => {
    for (let item = queue.shift(); item !== undefined && !here.signal.aborted; item = queue.shift()) {
      await scoreOne(item, here.signal);
      if (here.signal.aborted) return;
      const done = items.filter(({ state }) => state !== 'waiting').length;
      say(`${done} of ${items.length}`);
      update(item);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  if (here.signal.aborted) return;
  const failed = items.filter(({ state }) => state === 'failed');
  const seconds = ((performance.now() - started) / 1000).toFixed(2);
  const scored = items.length - failed.length;
  say(
    `${scored} ${scored === 1 ? 'picture' : 'pictures'} scored in ${seconds} s` +
      (failed.length === 0 ? '' : `, ${failed.length} not: ${failed[0].problem}`),
    failed.length > 0,
  );
}

/** @param {Item} item @param {AbortSignal} signal */
async function scoreOne(item, signal) {
  try {
    item.scored = await score({
      file: item.file,
      captions: asked,
      model: model.value,
      key: key.value,
      signal,
    });
    item.state = 'scored';
  } catch (error) {
    if (signal.aborted) return;
    item.state = 'failed';
    item.problem = error instanceof Error ? error.message : String(error);
    if (error instanceof ProblemError && error.status === 401) {
      keyField.hidden = false;
      key.focus();
      work.abort();
      say('This server asks for an API key.', true);
    }
  }
}

/** One picture is a card, many are a table. */
function show() {
  const single = items.length === 1;
  cards.replaceChildren(...(single ? [card(items[0], asked)] : []));
  many.hidden = items.length < 2;
  part('many-title', HTMLHeadingElement).textContent = `${items.length} pictures`;
  part('head', HTMLTableRowElement).replaceChildren(...tableHead(asked));
  part('rows', HTMLTableSectionElement).replaceChildren(
    ...(single ? [] : items.map((item) => rowOf(item, asked))),
  );
}

/** @param {Item} item */
function update(item) {
  if (items.length === 1) return cards.replaceChildren(card(item, asked));
  const at = items.indexOf(item);
  part('rows', HTMLTableSectionElement).children[at]?.replaceWith(rowOf(item, asked));
}

/** @param {Iterable<File>} chosen */
function take(chosen) {
  const pictures = [...chosen].filter((file) => file.type.startsWith('image/') || file.type === '');
  if (pictures.length === 0) return say('That is no picture.', true);
  dropPreviews();
  items = pictures.map((file) => ({ file, state: 'waiting' }));
  scoreAll();
}

form.addEventListener('submit', (event) => {
  event.preventDefault();
  scoreAll();
});
captions.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) scoreAll();
});
files.addEventListener('change', () => {
  take(files.files ?? []);
  // The same file may be picked again.
  files.value = '';
});
model.addEventListener('change', () => {
  if (items.length > 0) scoreAll();
});
key.addEventListener('change', () => {
  start();
  if (items.length > 0) scoreAll();
});
for (const name of ['dragenter', 'dragover']) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
}
for (const name of ['dragleave', 'drop']) {
  document.addEventListener(name, () => drop.classList.remove('over'));
}
document.addEventListener('drop', (event) => {
  event.preventDefault();
  take(event.dataTransfer?.files ?? []);
});
document.addEventListener('paste', (event) => {
  const pasted = event.clipboardData?.files;
  // Text is pasted where the cursor is.
  if (pasted === undefined || pasted.length === 0) return;
  event.preventDefault();
  take(pasted);
});
part('csv', HTMLButtonElement).addEventListener('click', () => {
  download('scores.csv', toCsv(items, asked));
});
part('clear', HTMLButtonElement).addEventListener('click', () => {
  work.abort();
  dropPreviews();
  items = [];
  show();
  say('');
  files.focus();
});

/** Fills in what the server says of itself. */
async function start() {
  try {
    const server = await describe(key.value);
    keyField.hidden = !server.needsKey && keyField.hidden;
    const before = model.value;
    model.replaceChildren(...server.models.map((name) => new Option(name, name, false, name === before)));
    part('version', HTMLSpanElement).textContent = server.version;
    if (server.needsKey && key.value === '') say('This server asks for an API key.');
  } catch (error) {
    say(error instanceof Error ? error.message : String(error), true);
  }
}

start();
