/** `npm run build`: what is published. Plain `tsc`, since the sources already are ES modules. */
import { $, fs } from 'zx';

$.verbose = false;
await fs.rm('dist', { recursive: true, force: true });
await $({ stdio: 'inherit' })`tsc -p tsconfig.build.json`;
