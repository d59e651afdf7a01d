/** An app on a port of this machine, and how it stops without losing a request. */
import type { Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
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
/** A connection made just before the end has this long to say what it wants. */
const SILENT_MS = 1000;

/** Throws `UsageError` where the address is taken or is none. */
export async function listen(
  fetch: Fetch,
  { host, port }: { host: string; port: number },
): Promise<Listening> {
  let stopping = false;
  let open = 0;
  /** Connections by the requests on them that are not answered yet. */
  const connections = new Map<Socket, number>();
  const server = createAdaptorServer({
    fetch,
    hostname: host,
    serverOptions: { maxHeaderSize: MAX_HEADERS, headersTimeout: 10_000 },
  }) as Server;
  // A shard's upload may take hours; requests of other routes bound their bodies themselves.
  server.requestTimeout = 0;
  server.on('connection', (socket) => {
    connections.set(socket, 0);
    socket.once('close', () => connections.delete(socket));
  });
  server.prependListener('request', ({ socket }, response) => {
    open++;
    connections.set(socket, (connections.get(socket) ?? 0) + 1);
    response.once('close', () => {
      open--;
      const left = (connections.get(socket) ?? 1) - 1;
      if (connections.has(socket)) connections.set(socket, left);
    });
    if (stopping) response.setHeader('connection', 'close');
  });
  await new Promise<void>((resolve, reject) => {
    const refuse = (cause: unknown): void => {
      reject(
        new UsageError(`cannot listen on ${host} port ${port}: ${messageOf(cause)}`, {
          cause,
          hint: 'Choose another with --port, or stop what uses it',
        }),
      );
    };
    server.once('error', refuse);
    try {
      server.listen(port, host, resolve);
    } catch (cause) {
      // A number that is no port is thrown, and no event.
      refuse(cause);
    }
  });
  const address = server.address() as AddressInfo;
  const name = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${name}:${address.port}`,
    async stop({ lingerMs, graceMs }) {
      stopping = true;
      await new Promise((resolve) => setTimeout(resolve, lingerMs));
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      // A connection on which nothing was asked yet is no idle one to Node, and would be waited for.
      const silent = setTimeout(() => {
        for (const [socket, requests] of connections) if (requests === 0) socket.destroy();
      }, SILENT_MS);
      let cut = 0;
      const timer = setTimeout(() => {
        cut = open;
        server.closeAllConnections();
      }, graceMs);
      await closed;
      clearTimeout(timer);
      clearTimeout(silent);
      return cut;
    },
  };
}
