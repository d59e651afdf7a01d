/** `npm run build:wasm`: writes `assets/resize.wasm` from its text. A test holds that the file is what this writes. */
import { writeFileSync } from 'node:fs';
import { assemble } from './assemble.ts';
import { RESIZE_WAT } from './resize.wat.ts';

writeFileSync(new URL('../../assets/resize.wasm', import.meta.url), await assemble('resize.wat', RESIZE_WAT));
