import openWabt from 'wabt';

/** The bytes of a WebAssembly module in text, without names. Throws wabt's error, which has the line. */
export async function assemble(name: string, text: string): Promise<Uint8Array> {
  const wabt = await openWabt();
  const module = wabt.parseWat(name, text, { simd: true });
  try {
    module.validate();
    return module.toBinary({}).buffer;
  } finally {
    module.destroy();
  }
}
