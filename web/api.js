// @ts-check
/** The API, as far as the page uses it. Paths are relative: the page works under any prefix. */

/**
 * @typedef {object} Scored
 * @property {number[]} scores cosines in the order of the captions
 * @property {number} width
 * @property {number} height
 * @property {string} model
 * @property {number} ms what the server took
 * @property {string | undefined} tag `UNLIKELY`, `UNSURE`, `NSFW`; undefined where nothing judges
 * @property {{ name: string, value: number }[]} safety
 */

/** An answer of the server that says what is wrong, RFC 9457. */
export class ProblemError extends Error {
  /** @param {number} status @param {string} detail */
  constructor(status, detail) {
    super(detail);
    this.name = 'ProblemError';
    this.status = status;
  }
}

/** @param {string} key @returns {Record<string, string>} */
const authorised = (key) => (key === '' ? {} : { authorization: `Bearer ${key}` });

/** @param {string} path @param {RequestInit} init @returns {Promise<any>} */
async function ask(path, init) {
  let response;
  try {
    response = await fetch(path, init);
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new Error('The server cannot be reached.', { cause });
  }
  const json = await response.json().catch(() => undefined);
  if (!response.ok) throw new ProblemError(response.status, problemText(response, json));
  return json;
}

/** @param {Response} response @param {any} json */
function problemText(response, json) {
  const detail = typeof json?.detail === 'string' ? json.detail : response.statusText;
  const wait = response.headers.get('retry-after');
  return wait === null ? detail : `${detail}; try again in ${wait} s`;
}

/** What the server has. @param {string} key
 * @returns {Promise<{ version: string, models: string[], needsKey: boolean }>} */
export async function describe(key) {
  const { version } = await ask('healthz', {});
  try {
    const { models } = await ask('v1/models', { headers: authorised(key) });
    return {
      version,
      models: models.map((/** @type {{ name: string }} */ { name }) => name),
      needsKey: false,
    };
  } catch (error) {
    if (!(error instanceof ProblemError) || (error.status !== 401 && error.status !== 403)) throw error;
    return { version, models: [], needsKey: true };
  }
}

/** Scores one picture against captions.
 * @param {{ file: File, captions: string[], model: string, key: string, signal: AbortSignal }} asked
 * @returns {Promise<Scored>} */
export async function score({ file, captions, model, key, signal }) {
  const body = new FormData();
  body.append('image', file);
  for (const caption of captions) body.append('caption', caption);
  if (model !== '') body.append('model', model);
  const answer = await ask('v1/score', { method: 'POST', body, headers: authorised(key), signal });
  const [{ image, scores, safety }] = answer.items;
  const columns = Object.entries(safety?.columns ?? {});
  return {
    scores: scores.map((/** @type {{ similarity: number }} */ { similarity }) => similarity),
    width: image.width,
    height: image.height,
    model: answer.model.name,
    ms: answer.took_ms,
    tag: safety?.nsfw_tag ?? undefined,
    safety: columns
      .filter(([, value]) => typeof value === 'number')
      .map(([name, value]) => ({ name: name.replace(/^(nsfw|safety)_/, ''), value: Number(value) })),
  };
}
