/** The text tower's Worker: `wrangler.text.toml`. */
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import { towerWorker } from './tower.ts';

export default towerWorker('text', wasm, 56);
