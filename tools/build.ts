/** `npm run build`: what is published. Plain `tsc`, since the sources already are ES modules; and the Workers, bundled. */
import { $, fs } from 'zx';
import { buildWorkers } from './workers.ts';

$.verbose = false;
await fs.rm('dist', { recursive: true, force: true });
await $({ stdio: 'inherit' })`tsc -p tsconfig.build.json`;
await buildWorkers('dist/workers');
