import { describe, expect, it } from 'vitest';
import { BatchQueue } from '../../cli/serve/queue.ts';
import { BusyError, CancelledError } from '../../src/errors.ts';

/** Work that is done when it is told to, and remembers what it was given. */
function held() {
  const batches: number[][] = [];
  const gates: (() => void)[] = [];
  const work = async (inputs: number[]): Promise<number[]> => {
    batches.push(inputs);
    await new Promise<void>((go) => gates.push(go));
    return inputs.map((input) => input * 10);
  };
  const letGo = async () => {
    while (gates.length === 0) await new Promise((go) => setTimeout(go, 1));
    gates.shift()?.();
  };
  return { work, batches, letGo };
}

const soon = () => new Promise((go) => setTimeout(go, 5));

describe('a queue of batches', () => {
  it('runs what came while it was busy together, and gives each caller its own answers', async () => {
    const { work, batches, letGo } = held();
    const queue = new BatchQueue(work, { batch: 4, waitMs: 0, backlog: 100 });
    const first = queue.run([1]);
    await soon();
    const others = [queue.run([2, 3]), queue.run([4]), queue.run([5, 6, 7])];
    for (let i = 0; i < 3; i++) await letGo();
    expect(await first).toEqual([10]);
    expect(await Promise.all(others)).toEqual([[20, 30], [40], [50, 60, 70]]);
    // The last call is spread over two batches.
    expect(batches).toEqual([[1], [2, 3, 4, 5], [6, 7]]);
    expect(queue.waiting).toBe(0);
  });

  it('waits for company, and no longer once a batch is full', async () => {
    const { work, batches, letGo } = held();
    const queue = new BatchQueue(work, { batch: 3, waitMs: 60_000, backlog: 100 });
    const calls = [queue.run([1]), queue.run([2])];
    await soon();
    expect(batches).toEqual([]);
    calls.push(queue.run([3]));
    await letGo();
    expect(await Promise.all(calls)).toEqual([[10], [20], [30]]);
    expect(batches).toEqual([[1, 2, 3]]);
  });

  it('refuses what the backlog has no room for, and takes it later', async () => {
    const { work, letGo } = held();
    const queue = new BatchQueue(work, { batch: 2, waitMs: 0, backlog: 3 });
    const calls = [queue.run([1, 2]), queue.run([3])];
    const refusal = await queue.run([4]).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(BusyError);
    expect(refusal).toMatchObject({ code: 'busy', retryAfter: 1 });
    await letGo();
    await letGo();
    await Promise.all(calls);
    const later = queue.run([4, 5, 6, 7]);
    await letGo();
    await letGo();
    expect(await later).toEqual([40, 50, 60, 70]);
  });

  it('takes a call larger than the backlog while others wait, once half of it is free', async () => {
    const { work, batches, letGo } = held();
    const queue = new BatchQueue(work, { batch: 4, waitMs: 0, backlog: 4 });
    const first = queue.run([1, 2]);
    const large = queue.run([3, 4, 5, 6, 7, 8]);
    await expect(queue.run([9, 10, 11, 12, 13, 14])).rejects.toBeInstanceOf(BusyError);
    await expect(queue.run([9])).rejects.toBeInstanceOf(BusyError);
    await letGo();
    await letGo();
    expect(await Promise.all([first, large])).toEqual([
      [10, 20],
      [30, 40, 50, 60, 70, 80],
    ]);
    expect(batches.flat()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('drops the waiting call of a caller that went away, and nobody else’s', async () => {
    const { work, batches, letGo } = held();
    const queue = new BatchQueue(work, { batch: 2, waitMs: 0, backlog: 100 });
    const first = queue.run([1]);
    await soon();
    const away = new AbortController();
    const gone = queue.run([2], away.signal).catch((error: unknown) => error);
    const stays = queue.run([3]);
    away.abort();
    expect(await gone).toBeInstanceOf(CancelledError);
    await letGo();
    await letGo();
    expect([await first, await stays]).toEqual([[10], [30]]);
    expect(batches).toEqual([[1], [3]]);
  });

  it('fails the calls of a batch that fails, and goes on', async () => {
    let runs = 0;
    const queue = new BatchQueue<number, number>(
      async (inputs) => {
        if (++runs === 1) throw new Error('out of memory');
        return inputs;
      },
      { batch: 2, waitMs: 0, backlog: 100 },
    );
    const answers = await Promise.allSettled([queue.run([1, 2, 3]), queue.run([4])]);
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    expect(await queue.run([5])).toEqual([5]);
    expect(queue.waiting).toBe(0);
  });

  it('shares what waits out among the lanes that are free, and keeps each caller’s order', async () => {
    const { work, batches, letGo } = held();
    const queue = new BatchQueue(work, { batch: 4, lanes: 2, waitMs: 1, backlog: 100 });
    const calls = [queue.run([1, 2, 3]), queue.run([4])];
    await soon();
    expect(batches).toEqual([
      [1, 2],
      [3, 4],
    ]);
    // Both lanes are busy: these wait, and the one that is free first takes them.
    const late = queue.run([5, 6]);
    for (let i = 0; i < 3; i++) await letGo().then(soon);
    expect(await Promise.all(calls)).toEqual([[10, 20, 30], [40]]);
    expect(await late).toEqual([50, 60]);
    expect(queue.waiting).toBe(0);
  });
});
