/** MiB of WebAssembly memory of a tower's Worker: ViT-B/32 with what one run takes, and no more (docs/edge.md). */
export const TOWER_MIB = { image: 104, text: 56 } as const;
