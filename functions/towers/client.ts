/**
 * Towers that are elsewhere, as an `Embedder`: behind a Worker's service binding or on another machine, both together or
 * each in a place of its own. What is sent is split as the towers' limits say.
 */
import type { Embedder } from '../../src/clip/embedder.ts';
import { BusyError, DownloadError, type ErrorDetails, ModelError } from '../../src/errors.ts';
import { type TowerInfo, towerInfo } from './info.ts';
import {
  decodeRows,
  encodePictures,
  encodeTexts,
  FINGERPRINT_HEADER,
  OCTETS,
  pictureBytes,
  type Tower,
} from './protocol.ts';
import { type AskOptions, ask, type Fetcher, plainRefusal } from './request.ts';

export interface TowerPlace {
  /** Where `protocol.ts` is spoken, without a slash at the end. For a binding any host will do. */
  url: string;
  key?: string;
  /** The binding's `fetch`; the network's where absent. */
  fetch?: Fetcher;
}

export interface RemoteOptions extends AskOptions {
  /** Requests to one tower at a time, for calls that need several. Default 1: a Worker's tower runs one at a time. */
  concurrency?: number;
  /** Told each time that other towers are found in the place of these: this embedder is then of no more use. */
  onReplaced?(): void;
}

/** Other towers are where those of the embedder were. Who opens an embedder anew has theirs. */
export class TowersReplaced extends BusyError {
  constructor(details?: ErrorDetails) {
    super('the towers have been replaced', 1, details);
  }
}

export interface RemoteEmbedder extends Embedder {
  /** Of the towers. */
  readonly fingerprint: string;
  readonly info: TowerInfo;
  /** Asks both places again. Throws what `remoteEmbedder` throws, and `TowersReplaced`, as embedding does. */
  check(signal?: AbortSignal): Promise<void>;
}

/**
 * Asks both places what they are. Throws `ModelError` where a tower is missing, or they are not of one model;
 * `DownloadError` where a place gives no proper answer; `CancelledError` on the signal.
 */
export async function remoteEmbedder(
  places: { image: TowerPlace; text: TowerPlace },
  options: RemoteOptions = {},
): Promise<RemoteEmbedder> {
  const [image, text] = await bothOf(places, options);
  const replaced = (message: string): TowersReplaced => {
    options.onReplaced?.();
    return new TowersReplaced({ cause: new ModelError(message) });
  };
  const refusal: AskOptions['refusal'] = (status, message, url, body) =>
    status === 409 ? replaced(message) : (options.refusal ?? plainRefusal)(status, message, url, body);
  const headers = { [FINGERPRINT_HEADER]: image.fingerprint };
  const { dim, image_size: imageSize, context_length: contextLength } = image;
  const embed = async <T>(
    tower: Tower,
    items: readonly T[],
    most: number,
    encode: Encode<T>,
    signal?: AbortSignal,
  ) => {
    const out = new Float32Array(items.length * dim);
    const place = places[tower];
    const path = tower === 'image' ? '/pictures' : '/texts';
    await inTurn(Math.ceil(items.length / most), options.concurrency ?? 1, async (i) => {
      const part = items.slice(i * most, (i + 1) * most);
      const request = { method: 'POST', path, body: encode(part), type: OCTETS, headers } as const;
      const answer = await ask(place, request, { ...options, refusal, signal: signal ?? options.signal });
      out.set(decodeRows(answer, part.length * dim), i * most * dim);
    });
    return out;
  };
  return {
    dim,
    contextLength,
    imageSize,
    logitScale: image.logit_scale,
    precision: image.precision,
    provider: image.provider,
    fingerprint: image.fingerprint,
    info: { ...image, towers: ['image', 'text'], max_texts: text.max_texts },
    async embedPictures(pictures, signal) {
      const wrong = pictures.find(({ length }) => length !== pictureBytes(imageSize));
      if (wrong !== undefined) {
        throw new ModelError(`a picture of ${wrong.length} bytes is not [${imageSize}, ${imageSize}, 3]`);
      }
      return embed('image', pictures, image.max_pictures, encodePictures, signal);
    },
    embedTexts: (ids, signal) => embed('text', ids, text.max_texts, encodeTexts, signal),
    async check(signal) {
      const [now] = await bothOf(places, { ...options, signal: signal ?? options.signal });
      if (now.fingerprint !== image.fingerprint) throw replaced(`they are ${now.fingerprint} now`);
    },
    release: async () => {},
  };
}

type Encode<T> = (items: readonly T[]) => Uint8Array<ArrayBuffer>;

async function bothOf(
  places: { image: TowerPlace; text: TowerPlace },
  options: RemoteOptions,
): Promise<[image: TowerInfo, text: TowerInfo]> {
  const [image, text] = await Promise.all([
    infoOf(places.image, 'image', options),
    infoOf(places.text, 'text', options),
  ]);
  if (image.fingerprint === text.fingerprint && image.dim === text.dim) return [image, text];
  throw new ModelError('the image tower and the text tower are not of one model', {
    url: places.image.url,
    hint: `Their fingerprints are ${image.fingerprint} and ${text.fingerprint}: export and deploy both again`,
  });
}

async function infoOf(place: TowerPlace, tower: Tower, options: RemoteOptions): Promise<TowerInfo> {
  const bytes = await ask(place, { method: 'GET', path: '/' }, options);
  let info: TowerInfo;
  try {
    info = towerInfo.parse(JSON.parse(new TextDecoder().decode(bytes)));
  } catch (cause) {
    throw new DownloadError('what answers there are no towers of this version of Shardsieve', {
      url: place.url,
      cause,
    });
  }
  if (!info.towers.includes(tower)) {
    throw new ModelError(`the ${tower} tower is not there`, { url: place.url });
  }
  return info;
}

/** `work(0)` to `work(n - 1)`, `width` at a time; after the first failure nothing more is begun. */
async function inTurn(n: number, width: number, work: (i: number) => Promise<void>): Promise<void> {
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    while (next < n && !failed) {
      try {
        await work(next++);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: Math.min(width, n) }, lane));
  for (const result of lanes) if (result.status === 'rejected') throw result.reason;
}
