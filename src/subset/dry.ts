import type { Folder } from '../io/bytes.ts';

/** A folder that is read as it is and written to without effect: a run over it counts what it would do. */
export function withoutWrites(folder: Folder): Folder {
  return {
    label: folder.label,
    list: () => folder.list(),
    has: (name) => folder.has(name),
    read: (name) => folder.read(name),
    open: (name) => folder.open(name),
    create: async (name) => ({
      name,
      write: async () => undefined,
      commit: async () => undefined,
      abort: async () => undefined,
    }),
    remove: async () => undefined,
  };
}
