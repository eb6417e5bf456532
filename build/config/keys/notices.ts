import { readMailAddress, readWebhook } from '../notices.js';
import { optional, yesNo } from '../schema.js';
import { keysOf } from './key.js';

const key = keysOf('Notices');

/** Whom an instance tells what needs a person, and how it is. */
export const NOTICE_KEYS = {
  NOTIFY_MAIL: key(
    '',
    optional(readMailAddress),
    'Address that gets mail when something on the instance needs a person, once, and when it is over. dma(8) of the base',
    'system brings it, to the mail server of the address or by way of the one that /etc/dma/dma.conf names. Empty: none.',
  ),
  NOTIFY_WEBHOOK: key(
    '',
    optional(readWebhook),
    'The same by a POST of JSON to an https URL, which is kept as a secret: the image then holds one. Empty: none.',
  ),
  METRICS: key(
    'no',
    yesNo,
    "Whether the instance writes metrics for node_exporter's textfile collector every five minutes, into",
    '/var/run/clawdie/metrics, for the group nobody. Nothing listens for it.',
  ),
};
