/** An app on a port of this machine, and how it stops without losing a request. */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { messageOf, UsageError } from '../../src/errors.ts';

export interface Listening {
  /** `http://127.0.0.1:8787` */
  url: string;
  /**
   * Stops. Requests that are on their way are answered, connections closed as their answers end; until `lingerMs` are over
   * new ones are still taken, for a balancer needs a moment to see that `/readyz` says no. What is not done after
   * `graceMs` more is cut off. Resolves with the number of those.
   */
  stop(options: { lingerMs: number; graceMs: number }): Promise<number>;
}

type Fetch = (request: Request, env: unknown) => Response | Promise<Response>;

/** Bytes of headers: keys and ids are short. */
const MAX_HEADERS = 16 * 1024;

/** Throws `UsageError` where the address is taken or is none. */
export async function listen(
  fetch: Fetch,
  { host, port }: { host: string; port: number },
): Promise<Listening> {
  let stopping = false;
  let open = 0;
  const server = createAdaptorServer({
    fetch,
    hostname: host,
    serverOptions: { maxHeaderSize: MAX_HEADERS, headersTimeout: 10_000 },
  }) as Server;
  // A shard's upload may take hours; requests of other routes bound their bodies themselves.
  server.requestTimeout = 0;
  server.prependListener('request', (_, response) => {
    open++;
    response.once('close', () => {
      open--;
    });
    if (stopping) response.setHeader('connection', 'close');
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => {
      reject(
        new UsageError(`cannot listen on ${host} port ${port}: ${messageOf(cause)}`, {
          cause,
          hint: 'Choose another with --port, or stop what uses it',
        }),
      );
    });
    server.listen(port, host, resolve);
  });
  const address = server.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}`,
    async stop({ lingerMs, graceMs }) {
      stopping = true;
      await new Promise((resolve) => setTimeout(resolve, lingerMs));
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      let cut = 0;
      const timer = setTimeout(() => {
        cut = open;
        server.closeAllConnections();
      }, graceMs);
      await closed;
      clearTimeout(timer);
      return cut;
    },
  };
}
