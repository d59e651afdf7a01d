import type { DuckDBConnection, DuckDBDataChunk, DuckDBValue } from '@duckdb/node-api';

/**
 * Chunks of a query's answer (2,048 rows each), in its order, without holding the rest. The next chunk is made in
 * DuckDB's threads while this one is used.
 */
export async function* chunks(
  connection: DuckDBConnection,
  sql: string,
  values: DuckDBValue[] = [],
  signal?: AbortSignal,
): AsyncGenerator<DuckDBDataChunk> {
  const result = await connection.stream(sql, values);
  let next = result.fetchChunk();
  try {
    for (;;) {
      const chunk = await next;
      if (chunk === null || chunk.rowCount === 0) return;
      next = result.fetchChunk();
      signal?.throwIfAborted();
      yield chunk;
    }
  } finally {
    // What was asked for must be there before the connection takes another query.
    await next.catch(() => undefined);
  }
}
