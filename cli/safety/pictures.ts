/** Where a folder's pictures are read from. */
import { tarPictures } from '../../src/annotate/tars.ts';
import type { PictureSource } from '../../src/annotate/types.ts';
import { gunzipNode } from '../io/gunzip.ts';
import { openShards, type Shards } from '../jobs/shards.ts';
import type { FolderSpaces } from './spaces.ts';

/** The tars that `--shards` names, or nothing where it is absent. Throws `UsageError`. */
export async function picturesFor(
  options: { shards?: Shards['shards']; onNote?: (text: string) => void; signal?: AbortSignal },
  { uid, isOwn }: Pick<FolderSpaces, 'uid' | 'isOwn'>,
): Promise<PictureSource | undefined> {
  const { shards, onNote, signal } = options;
  if (shards === undefined) return undefined;
  const sources = await openShards({ shards });
  return tarPictures({ sources, uid, inOrder: isOwn, gunzip: gunzipNode, onNote, signal });
}
