/** The image tower's Worker: `wrangler.image.toml`. */
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import { TOWER_MIB } from './memory.ts';
import { towerWorker } from './tower.ts';

export default towerWorker('image', wasm, TOWER_MIB.image);
