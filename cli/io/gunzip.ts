/**
 * Node's own zlib behind the engine's `Gunzip`: several times faster than the one that runs anywhere, and it verifies
 * checksums.
 */
import { createGunzip } from 'node:zlib';
import { messageOf, ShardError } from '../../src/errors.ts';
import { inSlices } from '../../src/io/gunzip.ts';

/** Compressed bytes fed at a time: deflate packs at most 1032 to 1, so at most 66 MiB wait to be read. */
const SLICE = 64 * 1024;

/** Output is kept when the input turns out to be cut: a plain pipe would drop what it had ready. */
export async function* gunzipNode(
  stream: AsyncIterable<Uint8Array>,
  shard: string,
): AsyncGenerator<Uint8Array, void, undefined> {
  const zlib = createGunzip({ chunkSize: 256 * 1024 });
  const ready: Uint8Array[] = [];
  let failure: NodeJS.ErrnoException | undefined;
  // zlib calls a write's callback neither when that write fails nor when it meets garbage behind the last member;
  // in both cases it closes.
  const closed = new Promise<void>((resolve) => zlib.once('close', resolve));
  zlib.on('data', (piece: Uint8Array) => ready.push(piece));
  zlib.on('error', (error) => {
    failure = error;
  });
  const settled = (start: (done: () => void) => void): Promise<void> =>
    Promise.race([new Promise<void>(start), closed]);
  try {
    for await (const slice of inSlices(stream, SLICE)) {
      await settled((done) => zlib.write(slice, () => done()));
      yield* ready.splice(0);
      if (failure !== undefined) throw typed(failure, shard);
      if (zlib.destroyed || zlib.readableEnded) return;
    }
    await settled((done) => zlib.once('end', done).end());
    yield* ready.splice(0);
    if (failure !== undefined) throw typed(failure, shard);
  } finally {
    zlib.destroy();
  }
}

function typed(error: NodeJS.ErrnoException, shard: string): ShardError {
  const details = { shard, cause: error, hint: 'Download or write it again' };
  if (error.code === 'Z_BUF_ERROR') return new ShardError('truncated', 'the gzip stream ends early', details);
  return new ShardError('corrupt', `the gzip stream is damaged: ${messageOf(error)}`, details);
}
