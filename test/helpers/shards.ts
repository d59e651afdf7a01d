import { memorySink } from '../../src/io/memory.ts';
import { TarWriter } from '../../src/tar/writer.ts';

/** `[name, content]`, in the tar's order. */
export type Members = [string, string | Uint8Array][];

export async function makeTar(members: Members, mtime = 0): Promise<Uint8Array> {
  let bytes = new Uint8Array();
  const sink = memorySink('t', (all) => {
    bytes = all.slice();
  });
  const tar = new TarWriter(sink);
  for (const [name, content] of members) {
    await tar.add(name, typeof content === 'string' ? new TextEncoder().encode(content) : content, { mtime });
  }
  await tar.finish();
  await sink.commit();
  return bytes;
}

/** A sample as img2dataset writes it, with DataComp's uid in its JSON. */
export function makeSample(key: string, uid: string): Members {
  return [
    [`${key}.jpg`, `picture of ${uid}`],
    [`${key}.json`, JSON.stringify({ uid })],
    [`${key}.txt`, `caption of ${key}`],
  ];
}
