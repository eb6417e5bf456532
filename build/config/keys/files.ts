import { path } from '../schema.js';
import { keysOf } from './key.js';

const key = keysOf('Files of your own');

/** What a deployment adds to the files of the image. */
export const FILE_KEYS = {
  EXTRA_FILES: key(
    '',
    path,
    'Folder with files of your own, as they are to lie on the instance (relative to this file); owners and modes are in',
    '<folder>.mtree beside it. What would replace a file of the image, or weaken it, is refused.',
  ),
};
