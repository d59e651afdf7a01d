/** For the test beside it: NSFWJS's classifier over raw RGB pixels in a request's body, in the real workerd. */
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import weights from '../../assets/nsfwjs/mobilenet_v2.safetensors';
import { edgeSessions } from '../../functions/onnx.ts';
import { loadNsfwjs, type Nsfwjs } from '../../src/safety/nsfwjs/model.ts';

let model: Promise<Nsfwjs> | undefined;

export default {
  async fetch(request: Request): Promise<Response> {
    model ??= loadNsfwjs(new Uint8Array(weights), edgeSessions(wasm));
    const { searchParams } = new URL(request.url);
    const [width, height] = [Number(searchParams.get('w')), Number(searchParams.get('h'))];
    const data = new Uint8Array(await request.arrayBuffer());
    try {
      return Response.json([...(await (await model).classify([{ width, height, data }]))]);
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  },
};
