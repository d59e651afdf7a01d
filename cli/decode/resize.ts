import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { wasmPasses } from '../../src/image/passes-wasm.ts';
import { usePasses } from '../../src/image/resize.ts';
import { packageRoot } from '../package-root.ts';

let done = false;

/**
 * Makes this thread's resizes run in WebAssembly; the bytes stay the same. Where the processor has not the SIMD that V8
 * asks for (SSE 4.1), the plain passes stay.
 */
export function useQuickResize(): void {
  if (done) return;
  done = true;
  const bytes = readFileSync(join(packageRoot(), 'assets', 'resize.wasm'));
  if (WebAssembly.validate(bytes)) usePasses(wasmPasses(new WebAssembly.Module(bytes)));
}
