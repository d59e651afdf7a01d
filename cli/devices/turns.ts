/**
 * WebGPU has one device in a process, which all its sessions share whatever thread they are in, and onnxruntime does not
 * guard it: one makes, runs or frees a session at a time.
 */
let last: Promise<void> = Promise.resolve();

/** Runs `work` when all that was asked for before has ended. */
export function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = last.then(work);
  last = mine.then(
    () => {},
    () => {},
  );
  return mine;
}
