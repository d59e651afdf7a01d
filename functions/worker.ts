/** The front Worker's entry: `wrangler.toml`. What may not be compiled at run time is imported here. */
import jpeg from '@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm';
import webp from '@jsquash/webp/codec/dec/webp_dec.wasm';
import ort from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import merges from '../assets/clip-vocab/merges.txt.gz';
import nsfwjs from '../assets/nsfwjs/mobilenet_v2.safetensors';
import resize from '../assets/resize.wasm';
import { frontHandlers } from './workers/front.ts';

export default frontHandlers({ jpeg, webp, resize, ort, merges, nsfwjs });
