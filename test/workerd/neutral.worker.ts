/** For the test beside it: the neutral rooms over the tar in a request's body, in the real workerd. */
import jpeg from '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm';
import webp from '@jsquash/webp/codec/dec/webp_dec.wasm';
import merges from '../../assets/clip-vocab/merges.txt.gz';
import resize from '../../assets/resize.wasm';
import { createEdgeDecoder } from '../../functions/decode.ts';
import { createTokenizer } from '../../src/clip/tokenizer/tokenizer.ts';
import { parsePreprocess } from '../../src/image/preprocess-config.ts';
import { describeShard } from './describe.ts';

const tokenizer = createTokenizer(new Uint8Array(merges));

export default {
  async fetch(request: Request): Promise<Response> {
    const samples = await describeShard(request.body as unknown as AsyncIterable<Uint8Array>, {
      shard: 'pool',
      decoder: createEdgeDecoder({ jpeg, webp, resize }),
      tokenizer,
      preprocess: parsePreprocess(undefined, 64),
    });
    return Response.json(samples);
  },
};
