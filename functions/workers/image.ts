/** The image tower's Worker: `wrangler.image.toml`. */
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import { towerWorker } from './tower.ts';

export default towerWorker('image', wasm, 104);
