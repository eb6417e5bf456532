import { parentPort } from 'node:worker_threads';
import { makeMaps } from './map-store.js';
import type { MapInput } from './map-store.js';

/* The thread of a Mapper. */

parentPort?.on('message', (input: MapInput) => {
  makeMaps(input).then(
    (maps) => parentPort?.postMessage({ maps }),
    (error: unknown) => parentPort?.postMessage({ error }),
  );
});
