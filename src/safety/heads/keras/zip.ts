/** The files of a published Keras SavedModel, from its zip into memory, within bounds. Nothing is written anywhere. */
import { unzipSync } from 'fflate';
import { isShardsieveError, ModelError, messageOf } from '../../../errors.ts';

/** LAION's larger zip has 1.1 MB, its largest member 3.8 MB. */
const MAX_ZIP_BYTES = 64 * 2 ** 20;
const MAX_MEMBER_BYTES = 64 * 2 ** 20;
const MAX_MEMBERS = 1000;

const WANTED = {
  graph: 'saved_model.pb',
  config: 'keras_metadata.pb',
  index: 'variables/variables.index',
  data: 'variables/variables.data-00000-of-00001',
} as const;

export type SavedModelFiles = Record<keyof typeof WANTED, Uint8Array>;

/**
 * Takes the four files out of the one SavedModel in a zip, wherever its folder lies. Members that are not asked for
 * stay packed. Throws `ModelError` naming file and member: no zip, a missing or repeated member, one that is larger
 * than a head can be or than the zip says.
 */
export function unzipSavedModel(zip: Uint8Array, file: string): SavedModelFiles {
  const fail = (problem: string, member?: string, cause?: unknown) =>
    new ModelError(`the zip is not a known head: ${problem}`, {
      file,
      member,
      cause,
      hint: 'Known are the Keras SavedModel zips of LAION-AI/CLIP-based-NSFW-Detector: shardsieve heads pull laion-l14',
    });
  if (zip.length > MAX_ZIP_BYTES) throw fail(`it has ${zip.length} bytes, more than ${MAX_ZIP_BYTES}`);
  const found = new Map<string, number>();
  let members = 0;
  const isWanted = (name: string, size: number): boolean => {
    if (++members > MAX_MEMBERS) throw fail(`it has more than ${MAX_MEMBERS} members`);
    const path = Object.values(WANTED).find((wanted) => name === wanted || name.endsWith(`/${wanted}`));
    if (path === undefined) return false;
    if (size > MAX_MEMBER_BYTES) throw fail(`a member claims ${size} bytes`, name.slice(0, 200));
    if ([...found.keys()].some((other) => other === name || other.endsWith(path)))
      throw fail(`it has more than one ${path}`);
    found.set(name, size);
    return true;
  };
  let unpacked: Record<string, Uint8Array>;
  try {
    unpacked = unzipSync(zip, { filter: ({ name, originalSize }) => isWanted(name, originalSize) });
  } catch (cause) {
    if (isShardsieveError(cause)) throw cause;
    throw fail(`it cannot be unpacked (${messageOf(cause)})`, undefined, cause);
  }
  const take = (wanted: string): Uint8Array => {
    const name = [...found.keys()].find((member) => member.endsWith(wanted));
    const bytes = name === undefined ? undefined : unpacked[name];
    if (name === undefined || bytes === undefined) throw fail(`it has no ${wanted}`);
    if (bytes.length !== found.get(name))
      throw fail('a member does not have the size that the zip says', name.slice(0, 200));
    return bytes;
  };
  return {
    graph: take(WANTED.graph),
    config: take(WANTED.config),
    index: take(WANTED.index),
    data: take(WANTED.data),
  };
}
