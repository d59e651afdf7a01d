/** The text tower's Worker: `wrangler.text.toml`. */
import wasm from 'onnxruntime-web/ort-wasm-simd-threaded.wasm';
import { TOWER_MIB } from './memory.ts';
import { towerWorker } from './tower.ts';

export default towerWorker('text', wasm, TOWER_MIB.text);
