/** For the test beside it: `/image/…` and `/text/…` go to the towers of those names. */
interface Env {
  [tower: string]: { fetch(request: Request): Promise<Response> };
}

export default {
  fetch(request: Request, env: Env): Promise<Response> {
    const [, tower, ...rest] = new URL(request.url).pathname.split('/');
    return env[tower].fetch(new Request(`http://tower/${rest.join('/')}`, request));
  },
};
