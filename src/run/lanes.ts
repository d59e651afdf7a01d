/**
 * Items in order, by several hands: each lane takes the next item when it has done its last. What fails in one stops
 * the others: they are told by the signal, waited for, and the first failure is thrown.
 */
export async function inLanes<T>(
  items: Iterable<T>,
  lanes: number,
  work: (item: T, lane: number, signal: AbortSignal) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const stop = new AbortController();
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const queue = items[Symbol.iterator]();
  const failures: unknown[] = [];
  const take = async (lane: number): Promise<void> => {
    for (let next = queue.next(); !next.done && !stop.signal.aborted; next = queue.next()) {
      try {
        await work(next.value, lane, either);
      } catch (error) {
        failures.push(error);
        stop.abort();
      }
    }
  };
  await Promise.all(Array.from({ length: lanes }, (_, lane) => take(lane)));
  if (failures.length > 0) throw failures[0];
}
