import { parentPort } from 'node:worker_threads';
import type { View } from '../overlay/view.js';
import type { RuleFiles } from '../policy/image.js';
import { mapsOf } from './maps.js';

/* The thread of a Mapper. */

parentPort?.on('message', ({ files, view }: { files: RuleFiles; view: View }) => {
  try {
    parentPort?.postMessage({ maps: mapsOf(files, view) });
  } catch (error) {
    parentPort?.postMessage({ error });
  }
});
