/** Towers in this isolate, as an `Embedder`: of one picture or caption at a time, since a batch only takes memory here. */
import type { Embedder } from '../../src/clip/embedder.ts';
import type { ExportedFile, ExportManifest } from '../../src/clip/export/manifest.ts';
import { halfRows } from '../../src/clip/export/table.ts';
import { firstMaximum, TEXT_STEP, unitRows } from '../../src/clip/model.ts';
import { CancelledError, ModelError } from '../../src/errors.ts';
import { normalise } from '../../src/image/preprocess.ts';
import type { Session, Tensor } from '../../src/onnx/session.ts';
import type { Tower } from '../towers/protocol.ts';
import type { EdgeRuntime, Pour } from './runtime.ts';

/** Loads the towers named into the runtime's memory, one after the other. Throws `ModelError`. */
export async function loadTowers(
  runtime: EdgeRuntime,
  manifest: ExportManifest,
  towers: readonly Tower[],
  open: (file: ExportedFile) => Promise<Pour>,
): Promise<Embedder> {
  const { files } = manifest;
  const sessions: Partial<Record<Tower, Session>> = {};
  for (const tower of towers)
    sessions[tower] = await runtime.load(files[tower].bytes, await open(files[tower]));
  const table = towers.includes('text') ? await readTable(files.table, await open(files.table)) : undefined;
  const session = (tower: Tower): Session => {
    const found = sessions[tower];
    if (found === undefined) throw new ModelError(`the ${tower} tower is not here`);
    return found;
  };
  const { dim, context_length: contextLength, image_size: side, text_width: width, preprocess } = manifest;
  const pixels = new Float32Array(3 * side * side);
  const embed = async <T>(
    items: readonly T[],
    run: (item: T) => Promise<Float32Array>,
    signal?: AbortSignal,
  ) => {
    const out = new Float32Array(items.length * dim);
    for (const [i, item] of items.entries()) {
      if (signal?.aborted) throw new CancelledError();
      out.set(unitRows(await run(item), dim), i * dim);
    }
    return out;
  };
  return {
    dim,
    contextLength,
    imageSize: side,
    logitScale: manifest.logit_scale,
    precision: manifest.precision,
    provider: runtime.provider,
    embedPictures: (pictures, signal) =>
      embed(
        pictures,
        (picture) => {
          if (picture.length !== pixels.length) {
            throw new ModelError(`a picture of ${picture.length} bytes is not [${side}, ${side}, 3]`);
          }
          // Read before anything is awaited: the next picture may overwrite it then.
          normalise(picture, preprocess, pixels, 0);
          return embedding(session('image'), {
            pixels: { type: 'float32', dims: [1, 3, side, side], data: pixels },
          });
        },
        signal,
      ),
    embedTexts: (ids, signal) =>
      embed(
        ids,
        (row) => {
          if (row.length < 1 || row.length > contextLength) {
            throw new ModelError(`a caption has ${row.length} tokens; the model takes 1 to ${contextLength}`);
          }
          const end = firstMaximum(row);
          // As long as the other front runs it, so that attention sums the same places.
          const length = Math.min(Math.ceil((end + 1) / TEXT_STEP) * TEXT_STEP, contextLength);
          const data = new Int32Array(length);
          data.set(row.subarray(0, length));
          if (table === undefined) throw new ModelError('the text tower is not here');
          return embedding(session('text'), {
            ids: { type: 'int32', dims: [1, length], data },
            rows: { type: 'float32', dims: [1, length, width], data: halfRows(table, width, data) },
            end: { type: 'int32', dims: [1], data: Int32Array.of(end) },
          });
        },
        signal,
      ),
    async release() {
      for (const loaded of Object.values(sessions)) await loaded.release();
    },
  };
}

/** Beside the runtime's memory and not in it: no run needs more of it than some rows. */
async function readTable({ name, bytes }: ExportedFile, pour: Pour): Promise<Uint16Array> {
  const table = new Uint8Array(bytes);
  let at = 0;
  await pour((chunk) => {
    table.set(chunk, at);
    at += chunk.length;
  });
  if (at !== bytes) throw new ModelError(`the table ends after ${at} of ${bytes} bytes`, { file: name });
  return new Uint16Array(table.buffer);
}

async function embedding(session: Session, feeds: Readonly<Record<string, Tensor>>): Promise<Float32Array> {
  const answer = (await session.run(feeds))['embedding'];
  if (answer?.type !== 'float32') throw new ModelError('the runtime gave no embedding');
  return answer.data;
}
